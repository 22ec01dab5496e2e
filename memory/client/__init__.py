"""The client that apps call: `AsyncMemoryClient`, and `MemoryClient` for synchronous code.

May import every other room of `memory`.
Must never hold SQL or rules of its own: each verb validates, calls one room, and returns.
"""

from memory.client.async_client import AsyncMemoryClient, AsyncTaskState
from memory.client.sync_client import MemoryClient, TaskState

__all__ = ["AsyncMemoryClient", "AsyncTaskState", "MemoryClient", "TaskState"]
