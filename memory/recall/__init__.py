"""Finds and ranks the memories that a question is about.

May import `beliefs`, `log`, `embedding` and `database`.
Must never write, and never read another user's rows except the tenant's collective tier.
"""
