"""Translates what the driver raises into errors of ours."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from memory.errors import (
    ConcurrentWrite,
    ConfigurationError,
    ExperientialMemoryError,
    LockTimeout,
    LoginRefused,
    NotMigrated,
    PreparedStatementLost,
    QuotaExceeded,
    ReadOnlyServer,
    StatementTimeout,
    StoreError,
    StoreExhausted,
    StoreUnavailable,
    TenantRefused,
    TenantSuspended,
    UnlistedTenant,
    WrongDimension,
    WrongTenant,
)

_TRANSLATIONS: dict[str, type[ExperientialMemoryError]] = {
    # By SQLSTATE, or by its class: its first two characters.
    "08": StoreUnavailable,
    "23505": ConcurrentWrite,
    "25006": ReadOnlyServer,
    "25P03": StoreUnavailable,  # idle in a transaction for too long
    "25P04": StoreUnavailable,
    "26000": PreparedStatementLost,
    "28": LoginRefused,
    "3D000": ConfigurationError,
    "3F000": NotMigrated,
    "40": ConcurrentWrite,
    "42501": ConfigurationError,
    "42704": ConfigurationError,  # such as MEMORY_LANGUAGE
    "42883": NotMigrated,
    "42P01": NotMigrated,
    "42P05": PreparedStatementLost,  # one of that name exists
    "53": StoreExhausted,
    "55P03": LockTimeout,
    "57": StoreUnavailable,
    "57014": StatementTimeout,
    "58": StoreUnavailable,  # its disk or another part of its system fails
    "EM001": UnlistedTenant,  # ours, as the functions of `sql/` raise them
    "EM002": TenantSuspended,
    "EM003": QuotaExceeded,
    "EM004": WrongTenant,
}

_POOLER_NEEDED = (
    "the pooler does not keep the prepared statements of its clients apart; use PgBouncer 1.21 or"
    " newer with max_prepared_statements = 200, or session pooling"
)

_PRIMARY_NEEDED = (
    "the server of MEMORY_DATABASE_URL takes no writes, as a standby does; set MEMORY_DATABASE_URL"
    " to the primary, and MEMORY_READ_URL to a standby that serves reads"
)


@contextmanager
def translated() -> Iterator[None]:
    """Turns psycopg's errors into ours, with the driver's as the cause."""
    try:
        yield
    except psycopg.Error as error:
        raise _translate(error) from error


def _translate(error: psycopg.Error) -> ExperientialMemoryError:
    # Where in our SQL it happened helps nobody who did not write it, and may quote what was said.
    message = str(error).partition("\nCONTEXT:")[0].strip() or type(error).__name__
    if isinstance(error, errors.DataException) and "different halfvec dimensions" in message:
        return WrongDimension(message)
    if "text search configuration" in message:
        message += "; see MEMORY_LANGUAGE"
    ours = _meaning(error)
    if issubclass(ours, TenantRefused | WrongTenant):
        message = error.diag.message_primary or message
    if ours is PreparedStatementLost:
        message = f"{message}: {_POOLER_NEEDED}"
    if ours is ReadOnlyServer:
        message = f"{message.splitlines()[0]}: {_PRIMARY_NEEDED}"
    return ours(message)


def _meaning(error: psycopg.Error) -> type[ExperientialMemoryError]:
    """The class of ours for an error; one without SQLSTATE was not sent by the server."""
    if error.sqlstate is None:
        cut_off = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return StoreUnavailable if cut_off else StoreError
    by_class = _TRANSLATIONS.get(error.sqlstate[:2], StoreError)
    return _TRANSLATIONS.get(error.sqlstate, by_class)


_MISCONFIGURED = (
    r"FATAL: .*(?:database .* does not exist|unsupported startup param)|certificate verify failed"
)
_REFUSED = r"FATAL: .*(?:does not exist|authentication failed|no pg_hba.conf)"


def refused_or_unavailable(error: psycopg.OperationalError) -> ExperientialMemoryError:
    """Translates a connection error: the server refuses the login, or is not available now."""
    # While connecting the driver passes on a message and no SQLSTATE. A server that speaks another
    # language than English is taken to be unavailable, which is only a less helpful answer.
    message = str(error).strip()
    if re.search(_MISCONFIGURED, message):
        return ConfigurationError(message)
    if re.search(_REFUSED, message):
        return LoginRefused(message)
    return StoreUnavailable(message)
