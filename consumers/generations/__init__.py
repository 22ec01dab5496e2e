"""Tracks generations: their extractors, the users they serve, and their quality.

May import `runtime`, the extractors' protocol and `memory`.
Must never delete the memories of a generation that serves anybody.
"""
