"""Defines `Settings`: read once at the edge and passed down; each field is a MEMORY_* variable."""

import json
import os
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import platformdirs
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from memory.errors import ConfigurationError, InvalidInput
from memory.models import ModelTask

APP_NAME = "experiential-memory"


def default_data_dir() -> Path:
    """Returns the user's data directory; for root, one that the server's own account can enter."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib") / APP_NAME
    return Path(platformdirs.user_data_dir(APP_NAME))


class KafkaOptions(BaseModel):
    """Options for connecting to the brokers, under the names that kafka-python uses.

    Options that would change delivery guarantees (acks, idempotence, offsets, the creation of
    topics) cannot be set. `sasl_plain_password_file` and `ssl_password_file` name files that hold
    the password; they are read again for each new client.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ssl_check_hostname: bool = True
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_password: SecretStr | None = None
    ssl_password_file: Path | None = None
    ssl_crlfile: str | None = None
    sasl_mechanism: (
        Literal["PLAIN", "GSSAPI", "SCRAM-SHA-256", "SCRAM-SHA-512", "AWS_MSK_IAM"] | None
    ) = None
    sasl_plain_username: str | None = None
    sasl_plain_password: SecretStr | None = None
    sasl_plain_password_file: Path | None = None
    sasl_kerberos_service_name: str = "kafka"
    sasl_kerberos_domain_name: str | None = None
    client_id: str | None = None
    client_dns_lookup: Literal["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"] = (
        "use_all_dns_ips"
    )
    proxy_url: SecretStr | None = None
    connections_max_idle_ms: PositiveInt = 540_000
    metadata_max_age_ms: PositiveInt = 300_000

    def plain(self) -> dict[str, Any]:
        """Returns the given options as arguments for kafka-python, with secrets in clear text."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in given.items()
        }


def _listed(value: object) -> object:
    """Splits `host:9092,other:9092` at its commas; an empty text gives None."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip()) or None
    return value


def _parsed(value: object) -> object:
    return json.loads(value or "{}") if isinstance(value, str) else value


class ModelPrice(BaseModel):
    """The price of a model for a million tokens; all prices are in one currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Settings(BaseSettings):
    """The settings of a process: how it reaches the store, and what it may use.

    Every field can be given as an argument or as an environment variable: `database_url` is
    MEMORY_DATABASE_URL, and so on. Times are in seconds; sizes are in the unit that the name says.

    Raises:
        ConfigurationError: one of them cannot be used; the message names it.
    """

    model_config = SettingsConfigDict(env_prefix="MEMORY_", frozen=True, extra="forbid")

    database_url: SecretStr | None = Field(
        default=None,
        description="Postgres 16+ with pgvector 0.8+; unset: the embedded server in `data_dir`",
    )
    database_url_file: Path | None = Field(
        default=None,
        description="file with that URL, read again for each connection: for passwords that rotate",
    )
    direct_url: SecretStr | None = Field(
        default=None,
        description="`database_url` past a pooler, for notifications; unset: behind a pooler,"
        " workers look for work every 2 s",
    )
    direct_url_file: Path | None = Field(
        default=None, description="file with that URL, read again for each connection"
    )
    read_url: SecretStr | None = Field(
        default=None,
        description="a standby that serves reads; without `database_url` the client only reads",
    )
    read_url_file: Path | None = Field(
        default=None, description="file with that URL, read again for each connection"
    )
    read_fallback: bool = Field(
        default=True,
        description="whether `database_url` serves reads while the standby is away",
    )
    application_name: Annotated[str, StringConstraints(pattern=r"^[ -~]{1,63}$")] | None = Field(
        default=None,
        description="name of this process's connections on the server; unset:"
        " `experiential-memory/` and the command, `client` or `worker`",
    )
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="directory for the embedded server's data",
    )
    cache_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_cache_dir(APP_NAME)),
        description="directory for the converted embedding model",
    )
    embedder: str = Field(
        default="packaged",
        description="`packaged`, `fastembed:<model>` or `openai:<model>[@<dimensions>]`",
    )
    embedding_threads: PositiveInt = Field(default=1, description="texts to embed at a time")
    openai_base_url: str | None = Field(
        default=None,
        description="server of `openai:` models, up to /v1; unset: OpenAI's own",
    )
    openai_api_key: SecretStr | None = Field(default=None, description="API key for that server")
    openai_api_key_file: Path | None = Field(
        default=None, description="file with that key, read again for each request"
    )
    kafka_servers: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^\S+$")], ...] | None,
        NoDecode,
        BeforeValidator(_listed),
    ] = Field(
        default=None,
        description="bootstrap brokers, `host:port`, comma-separated; unset: Postgres is the bus",
    )
    kafka_topic: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,230}$")] = Field(
        default="memory.interactions",
        description="topic of interactions, and prefix of the other topics' names",
    )
    kafka_options: Annotated[KafkaOptions, NoDecode, BeforeValidator(_parsed)] = Field(
        default_factory=KafkaOptions, description="TLS and SASL options, as a JSON object"
    )
    model: str | None = Field(
        default=None,
        description="`openai:<model>`, or several with commas, in fallback order; unset: no model",
    )
    models: dict[ModelTask, str] = Field(
        default_factory=dict, description="other models for single tasks, as a JSON object"
    )
    model_prices: dict[str, ModelPrice] = Field(
        default_factory=dict, description="prices as a JSON object, by model without `openai:`"
    )
    model_daily_budget: PositiveFloat | None = Field(
        default=None,
        description="limit for a tenant's model costs in a day (UTC), in the prices' currency",
    )
    model_session_seconds: PositiveFloat = Field(
        default=120.0,
        description="seconds that models may take for what is new in a session; then patterns read",
    )
    model_answer_tokens: PositiveInt = Field(
        default=4_096, description="limit for one answer of a model, in tokens"
    )
    language: str = Field(default="english", description="Postgres text search configuration")
    pool_min: int = Field(default=1, ge=0, description="connections that a process keeps open")
    pool_max: PositiveInt = Field(default=8, description="most connections that a process opens")
    connect_timeout: PositiveFloat = Field(
        default=10.0, description="seconds to wait for a connection"
    )
    statement_timeout: PositiveFloat = Field(
        default=30.0, description="seconds that one statement may run"
    )
    window_tokens: PositiveInt = Field(
        default=600, description="size of the recent turns that working memory keeps verbatim"
    )
    session_ttl: PositiveFloat = Field(
        default=30 * 86_400.0,
        description="seconds after the last record or event at which working memory expires",
    )
    debounce: float = Field(
        default=2.0, ge=0, description="seconds that a user must be quiet before extraction"
    )
    lease: PositiveFloat = Field(
        default=60.0, description="seconds that a worker may hold a user without renewing its lease"
    )
    max_attempts: PositiveInt = Field(
        default=5, description="extraction attempts before a session is set aside"
    )

    if not TYPE_CHECKING:  # type checkers take the arguments from the fields

        def __init__(self, **given: Any) -> None:
            """Reads the settings from the arguments, and the rest from the environment.

            Raises:
                ConfigurationError: one of them cannot be used; the message names it.
            """
            try:
                super().__init__(**given)
            except ValidationError as error:
                raise ConfigurationError(_unusable(error)) from None  # it repeats secrets
            except RecursionError as error:
                raise ConfigurationError("a setting is nested too deep") from error

    @property
    def embedded(self) -> bool:
        """Whether the store is on the embedded server."""
        return not (self.names_primary or self.names_standby)

    @property
    def only_reads(self) -> bool:
        """Whether they name a standby and no primary, so that nothing can be written."""
        return self.names_standby and not self.names_primary

    @property
    def names_primary(self) -> bool:
        """Whether they name a server that takes writes."""
        return self.database_url is not None or self.database_url_file is not None

    @property
    def names_standby(self) -> bool:
        """Whether they name a server for reading."""
        return self.read_url is not None or self.read_url_file is not None

    def at_standby(self) -> Self | None:
        """Returns these settings with the standby as the database; None if they name no standby."""
        if not self.names_standby:
            return None
        place = {"database_url": self.read_url, "database_url_file": self.read_url_file}
        return self.model_copy(update={**place, "read_url": None, "read_url_file": None})

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        for name in ("database_url", "direct_url", "read_url", "openai_api_key"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                variable = f"MEMORY_{name.upper()}"
                raise ValueError(f"set one of {variable} and {variable}_FILE, not both")
        return self


def _unusable(error: ValidationError) -> str:
    """Says what is wrong with the first setting; a value that may be secret is left out."""
    first = error.errors(include_url=False)[0]
    name = "_".join(["MEMORY", *(str(step) for step in first["loc"])]).upper()
    said = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:  # about several at once; its input is all of them
        return said
    secret = any(word in name for word in ("URL", "KEY", "PASSWORD", "KAFKA_OPTIONS"))
    return f"{name}: {said}" if secret else f"{name}: {said}, got {reprlib.repr(first['input'])}"


def settings_of(value: object) -> Settings:
    """Returns `value`, which an app gave as settings.

    Raises:
        InvalidInput: it is anything else.
    """
    if isinstance(value, Settings):
        return value
    raise InvalidInput(f"settings must be a Settings, got {reprlib.repr(value)}")
