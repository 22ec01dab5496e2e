"""Reads what people write: dates, and one package for each language.

May import the vocabulary (`memory.models`, `memory.errors`) only.
Must never propose a memory: it returns claims, and the extractors decide what becomes of them.
"""
