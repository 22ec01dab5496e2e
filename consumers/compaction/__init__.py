"""Compaction: the operators' jobs, which maintain the memory of every tenant.

`compact` runs them. Each job is idempotent, continues where it was stopped, works in bounded
batches beside live traffic, supports a dry run, and returns a report.
May import `extraction`, `generations`, `store`, `runtime`, `extractors` and `memory`.
Must never hold a lock on a user for longer than one batch.
"""

from consumers.compaction.policy import Policy, change_policy, read_policy, write_policy
from consumers.compaction.report import Finding, JobReport, metrics
from consumers.compaction.running import JOBS, compact

__all__ = [
    "JOBS",
    "Finding",
    "JobReport",
    "Policy",
    "change_policy",
    "compact",
    "metrics",
    "read_policy",
    "write_policy",
]
