"""Infers memories: interactions in, candidates out.

May import `memory.models`, `errors`, `settings`, `language`, `trust` and `explicit_memories`.
Must never reach a store or run a loop.
"""
