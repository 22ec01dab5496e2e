"""Secrets and personal data in text: finds them by shape and checksum, and masks them.

Pure: it reads text and interactions, and no store. It imports `models`, `errors` and `optional`
alone. Its callers decide what becomes of a finding, by their tenant's policy.
"""
