"""Gives each new connection the URL that holds now: a password may have been rotated since."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg
from anyio import to_thread
from psycopg.conninfo import conninfo_to_dict

from memory import secret_files
from memory.errors import ConfigurationError, LoginRefused
from memory.settings import Settings


def renewed(settings: Settings, url: str) -> str:
    """Returns the URL for the next connection of a process that began with `url`.

    It is read from the file of the settings if they name one. An embedded server that has ended is
    started again.

    Raises:
        LoginRefused: the file cannot be read now, or holds no connection string; it may be about to
            be renewed.
        EmbeddedServerFailed: the server does not start.
    """
    if settings.database_url_file is not None:
        return _connection_string(settings.database_url_file)
    if settings.embedded:
        from memory import embedded  # which needs modules that do not exist everywhere

        embedded.revive(url)
    return url


def _connection_string(file: Path) -> str:
    try:
        found = secret_files.read_secret(file)
        conninfo_to_dict(found)
    except ConfigurationError as error:
        raise LoginRefused(str(error)) from error
    except psycopg.ProgrammingError:
        # The driver's message repeats the string, and its password with it.
        raise LoginRefused(f"{str(file)!r} holds no connection string") from None
    return found


def renewing(settings: Settings, url: str) -> Callable[[], Awaitable[str]]:
    """Returns `renewed` for an event loop; reading and starting happen in a thread."""

    async def current() -> str:
        if settings.database_url_file is None and not settings.embedded:
            return url
        return await to_thread.run_sync(renewed, settings, url)

    return current
