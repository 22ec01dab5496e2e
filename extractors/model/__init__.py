"""Asking language models: prompts, requests, the ledger's port, and what checks their answers."""
