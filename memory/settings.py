"""One `Settings`, read once at the edge and passed down; each field is a MEMORY_* variable."""

import os
from pathlib import Path

import platformdirs
from pydantic import Field, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

APP_NAME = "experiential-memory"


def default_data_dir() -> Path:
    """The user's data directory; for root one that the server's own account can enter."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib") / APP_NAME
    return Path(platformdirs.user_data_dir(APP_NAME))


class Settings(BaseSettings):
    """How this process reaches the store and what it is allowed to use.

    Every field can be given as an argument or as an environment variable: `database_url` is
    MEMORY_DATABASE_URL, and so on. Times are in seconds, sizes in the unit the name says.
    """

    model_config = SettingsConfigDict(env_prefix="MEMORY_", frozen=True, extra="forbid")

    database_url: SecretStr | None = Field(
        default=None,
        description="Postgres 16+ with pgvector 0.8+; unset: the embedded server in `data_dir`",
    )
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="where the embedded server keeps its data",
    )
    cache_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_cache_dir(APP_NAME)),
        description="where the converted embedding model is kept",
    )
    embedder: str = Field(
        default="packaged",
        description="packaged | fastembed:<model> | openai:<model>[@<dimensions>]",
    )
    embedding_threads: PositiveInt = Field(default=1, description="texts embedded at a time")
    openai_base_url: str | None = None
    openai_api_key: SecretStr | None = None
    language: str = Field(default="english", description="Postgres text search configuration")
    pool_min: int = Field(default=1, ge=0)
    pool_max: PositiveInt = 8
    connect_timeout: PositiveFloat = 10.0
    statement_timeout: PositiveFloat = 30.0
    window_tokens: PositiveInt = Field(
        default=600, description="recent turns kept verbatim in a session's working memory"
    )
    session_ttl: PositiveFloat = Field(
        default=30 * 86_400.0,
        description="working memory expires this long after the last record or event",
    )
    debounce: float = Field(
        default=2.0, ge=0, description="a user is extracted once quiet for this long"
    )
    lease: PositiveFloat = Field(default=60.0, description="how long a worker may hold a user")
    max_attempts: PositiveInt = Field(
        default=5, description="extraction failures before a session is set aside"
    )
