"""A language model in the path: prompts, requests, and the checks that its answers must pass.

May import `extractors.reading`, `extractors.prompts`, `extractors.statements` and the vocabulary.
Must never propose what the quoted text does not say, and never keep a call outside the ledger.
"""
