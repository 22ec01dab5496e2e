"""Writes a topic to the log: each record once, in order, its position with its rows.

May import `runtime`, `memory.bus`, `memory.log` and what lies below them.
Must never commit rows without the position that they reach.
"""
