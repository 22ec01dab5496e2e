"""Reads URL, keys and passwords from files, each time anew: whoever rotates one renews its file.

A file holds the secret alone; white space around it does not count. Its contents never stand in a
message.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from memory.errors import ConfigurationError
from memory.settings import KafkaOptions, Settings

if TYPE_CHECKING:
    from openai import AsyncOpenAI


def read_secret(path: Path) -> str:
    """Returns the secret that the file holds now.

    Raises:
        ConfigurationError: the file cannot be read, or is empty.
    """
    try:
        found = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise ConfigurationError(f"no secret can be read from {str(path)!r}: {reason}") from None
    if not found:
        raise ConfigurationError(f"no secret can be read from {str(path)!r}: it is empty")
    return found


def database_url(settings: Settings) -> str | None:
    """Returns the URL of the database as it is now; None means the embedded server."""
    return _current(settings.database_url, settings.database_url_file)


def direct_url(settings: Settings) -> str | None:
    """Returns the URL past a pooler as it is now; None where none is set."""
    return _current(settings.direct_url, settings.direct_url_file)


def openai_api_key(settings: Settings) -> str | None:
    """Returns the key for `openai:` models as it is now."""
    return _current(settings.openai_api_key, settings.openai_api_key_file)


def _current(given: SecretStr | None, file: Path | None) -> str | None:
    if file is not None:
        return read_secret(file)
    return given.get_secret_value() if given else None


def renew_key(client: "AsyncOpenAI", settings: Settings) -> None:
    """Gives the client the key of the file, if one is set; call it before each request."""
    if settings.openai_api_key_file is not None:
        client.api_key = read_secret(settings.openai_api_key_file)


def kafka_options(options: KafkaOptions) -> dict[str, Any]:
    """Returns the options as arguments for kafka-python, with the passwords as they are now."""
    plain = options.plain()
    for name in ("sasl_plain_password", "ssl_password"):
        path = plain.pop(f"{name}_file", None)
        if path is not None:
            plain[name] = read_secret(path)
    return plain
