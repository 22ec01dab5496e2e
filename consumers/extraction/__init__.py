"""Derives memories from the log: workers lease users, run extractors, and commit with progress.

May import `generations`, `runtime`, `extractors` and `memory`.
Must never commit without checking its lease in the same transaction.
"""

from consumers.extraction.worker import Worker, installed_extractors

__all__ = ["Worker", "installed_extractors"]
