"""Extraction by a language model: prompts, requests, and the checks that answers must pass.

May import `extractors.reading`, `extractors.prompts`, `extractors.statements` and the vocabulary.
Must never propose what the quoted text does not say, and never keep a call outside the ledger.
"""
