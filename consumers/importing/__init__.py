"""Imports files into the log: our own JSONL, and foreign formats.

May import `runtime` and `memory`.
Must never skip a line in silence: a bad line is an error that names it.
"""
