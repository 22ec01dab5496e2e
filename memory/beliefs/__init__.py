"""Assertions, the fold that makes beliefs of them, and the long-term and collective tiers.

May import `embedding`, `database`, `language` and the vocabulary; not the bus or recall.
Must never update a belief in place: it closes one and inserts its successor.
"""
