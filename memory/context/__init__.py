"""Assembles contexts: recalled memories and working memory within a token budget.

May import `recall`, `bus`, `beliefs`, `log` and what lies below them.
Must never write to the store: recording what was shown is the client's work.
"""
