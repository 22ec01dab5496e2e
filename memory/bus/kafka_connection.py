"""Gives the settings to kafka-python's clients, and translates their errors.

Imports kafka-python: import this module late, inside `extras.extra("kafka")`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient
from kafka import errors as theirs

from memory import secret_files
from memory.errors import (
    BusLoginRefused,
    BusRefused,
    BusUnavailable,
    ConfigurationError,
    InteractionTooLarge,
    UnknownTopic,
)
from memory.settings import Settings

RECONNECT_MS = 1_000
"""The longest pause between two tries to reach a broker."""

_REFUSALS = (
    theirs.AuthorizationError,
    theirs.UnsupportedSaslMechanismError,
    theirs.IllegalSaslStateError,
    theirs.SecurityDisabledError,
)


def client_options(settings: Settings) -> dict[str, Any]:
    """Returns the options of every kafka-python client: the brokers, and how to reach them.

    Raises:
        BusLoginRefused: a file with a password cannot be read now.
    """
    return {
        **_with_secrets(settings),
        "bootstrap_servers": list(settings.kafka_servers or ()),
        "reconnect_backoff_max_ms": RECONNECT_MS,
    }


def _with_secrets(settings: Settings) -> dict[str, Any]:
    try:
        return secret_files.kafka_options(settings.kafka_options)
    except ConfigurationError as error:
        raise BusLoginRefused(str(error)) from error


def described(settings: Settings) -> str:
    """Returns the configured brokers for a message."""
    return ", ".join(settings.kafka_servers or ())


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Turns kafka-python's errors into ours, with the original as the cause."""
    where = described(settings)
    try:
        yield
    except theirs.SaslAuthenticationFailedError as error:
        raise BusLoginRefused(f"{where} refused the login: {_said(error)}") from error
    except _REFUSALS as error:
        raise BusRefused(f"{where} refused: {_said(error)}") from error
    except (theirs.MessageSizeTooLargeError, theirs.RecordListTooLargeError) as error:
        raise InteractionTooLarge(f"{where} refused its size: {_said(error)}") from error
    except theirs.UnknownTopicOrPartitionError as error:
        raise unknown_topic(settings, settings.kafka_topic) from error
    except (theirs.KafkaError, OSError) as error:
        raise BusUnavailable(f"no answer from {where}: {_said(error)}") from error


def unknown_topic(settings: Settings, topic: str) -> UnknownTopic:
    """Returns the error for a topic that the brokers do not know."""
    return UnknownTopic(f"no topic {topic!r} at {described(settings)}; run: memory topics create")


@contextmanager
def administration(settings: Settings, seconds: float) -> Iterator[Any]:
    """Yields a connected `KafkaAdminClient` that waits at most `seconds` for each answer.

    Raises:
        BusUnavailable, BusRefused: as `translated`, also for errors inside the block.
    """
    patience = {"bootstrap_timeout_ms": int(seconds * 1000), "request_timeout_ms": 10_000}
    with (
        translated(settings),
        KafkaAdminClient(**client_options(settings), **patience) as client,
    ):
        yield client


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
