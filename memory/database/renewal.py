"""Gives each new connection the URL that holds now: a password may have been rotated since."""

from collections.abc import Awaitable, Callable

from anyio import to_thread

from memory import secret_files
from memory.errors import ConfigurationError, LoginRefused
from memory.settings import Settings


def renewed(settings: Settings, url: str) -> str:
    """Returns the URL for the next connection of a process that began with `url`.

    It is read from the file of the settings if they name one. An embedded server that has ended is
    started again.

    Raises:
        LoginRefused: the file cannot be read now; it may be about to be renewed.
        EmbeddedServerFailed: the server does not start.
    """
    if settings.database_url_file is not None:
        try:
            return secret_files.read_secret(settings.database_url_file)
        except ConfigurationError as error:
            raise LoginRefused(str(error)) from error
    if settings.embedded:
        from memory import embedded  # which needs modules that do not exist everywhere

        embedded.revive(url)
    return url


def renewing(settings: Settings, url: str) -> Callable[[], Awaitable[str]]:
    """Returns `renewed` for an event loop; reading and starting happen in a thread."""

    async def current() -> str:
        if settings.database_url_file is None and not settings.embedded:
            return url
        return await to_thread.run_sync(renewed, settings, url)

    return current
