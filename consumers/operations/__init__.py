"""Operators' jobs: status, costs, dead letters, topics, re-embedding, retraction by source.

May import `ingest`, `generations`, `runtime`, `extractors` and `memory`.
Must never change data that the command did not name.
"""
