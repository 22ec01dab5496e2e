"""Finds and ranks the memories that match a question.

May import `beliefs`, `log`, `embedding` and `database`.
Must never write, and never read another user's rows except the tenant's collective tier.
"""
