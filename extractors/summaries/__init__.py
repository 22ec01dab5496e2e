"""Summarises sessions: extractive without a model, abstractive with one.

May import `extractors.language_model`, the protocol, `memory.language` and the vocabulary.
Must never keep a sentence that has no evidence in the session.
"""
