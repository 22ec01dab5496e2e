"""Access to Postgres: connections, transactions bound to a scope, and the statements of `sql/`.

May import the vocabulary, `settings` and `embedded`.
Must never send SQL that is not a named statement, and never let a driver error out untranslated.
"""

from memory.database.transactions import (
    Database,
    DatabaseRole,
    StatementRunner,
    Transaction,
    connect,
    connecting,
    described,
    noticing,
    refused_or_unavailable,
    resolve_url,
    session_settings,
    translated,
)

__all__ = [
    "Database",
    "DatabaseRole",
    "StatementRunner",
    "Transaction",
    "connect",
    "connecting",
    "described",
    "noticing",
    "refused_or_unavailable",
    "resolve_url",
    "session_settings",
    "translated",
]
