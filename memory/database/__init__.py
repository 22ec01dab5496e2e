"""Access to Postgres: connections, transactions bound to a scope, and the statements of `sql/`.

May import the vocabulary, `settings` and `embedded`.
Must never send SQL that is not a named statement, and never let a driver error out untranslated.
"""

from memory.database.binding import Binding, DatabaseRole
from memory.database.replica import ReadDatabase
from memory.database.transactions import (
    Database,
    StatementRunner,
    Transaction,
    connect,
    connection_options,
    described,
    resolve_url,
)
from memory.database.translation import refused_or_unavailable, translated

__all__ = [
    "Binding",
    "Database",
    "DatabaseRole",
    "ReadDatabase",
    "StatementRunner",
    "Transaction",
    "connect",
    "connection_options",
    "described",
    "refused_or_unavailable",
    "resolve_url",
    "translated",
]
