"""Compaction: the operators' jobs, which keep the memory of every tenant in order.

`compact` runs them. Each is idempotent, goes on where it was stopped, works in bounded batches
beside live traffic, can say what it would do, and hands back a report.
"""

from consumers.compaction.policy import Policy, read_policy, write_policy
from consumers.compaction.report import Finding, JobReport, metrics
from consumers.compaction.running import JOBS, compact

__all__ = [
    "JOBS",
    "Finding",
    "JobReport",
    "Policy",
    "compact",
    "metrics",
    "read_policy",
    "write_policy",
]
