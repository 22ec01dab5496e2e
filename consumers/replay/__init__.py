"""Derives history under other extractors, compares the results, and shifts users over and back.

May import `extraction`, `compaction`, `generations`, `operations`, `changes` and `runtime`.
Must never change what the live generation serves before an operator says so.
"""
