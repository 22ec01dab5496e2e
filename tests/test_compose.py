"""compose.yaml: what can be known of it without running it.

With Docker Compose at hand it also reads the file; the containers themselves are not started here.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from benchmarks.broker import Broker, NoBroker, free_port
from consumers.cli.application import memory
from consumers.extraction import Worker
from consumers.runtime.health import Health, HealthAddress, answering
from consumers.store import worker_database
from memory import embedded
from memory.client import AsyncMemoryClient
from memory.errors import ConfigurationError
from memory.migrate import migrate
from memory.models import Scope
from memory.settings import Settings
from tests.application import options_of
from tests.conftest import Residence, WordEmbedder

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
SERVERS = {"postgres", "kafka"}
OURS = sorted(set(SERVICES) - SERVERS)
IMAGE: str = FILE["x-memory"]["build"]["dockerfile_inline"]


class TestReach:
    def test_nothing_is_published_to_the_outside(self) -> None:
        assert [name for name, service in SERVICES.items() if "ports" in service] == []

    def test_every_password_is_a_file_that_only_its_service_gets(self) -> None:
        assert "PASSWORD:" not in TEXT
        files = {name: secret["file"] for name, secret in FILE["secrets"].items()}
        assert files == {name: f"./secrets/{name}" for name in files}
        for name in OURS:
            given = SERVICES[name]["environment"].get("PGPASSWORD_FILE")
            assert SERVICES[name].get("secrets", []) == ([Path(given).name] if given else [])
        assert (ROOT / ".gitignore").read_text().splitlines().count("/secrets/") == 1

    @pytest.mark.parametrize(
        ("name", "login"),
        [
            ("migrate", "memory_owner"),
            ("ingest", "memory_worker_login"),
            ("extract", "memory_worker_login"),
            ("memory", "memory_worker_login"),
            ("app", "memory_app"),
        ],
    )
    def test_nothing_of_ours_logs_in_as_a_superuser(self, name: str, login: str) -> None:
        url = SERVICES[name]["environment"]["MEMORY_DATABASE_URL"]
        assert conninfo_to_dict(url)["user"] == login
        assert login != SERVICES["postgres"]["environment"]["POSTGRES_USER"]

    @pytest.mark.parametrize("name", OURS)
    def test_ours_run_with_as_little_as_they_need(self, name: str) -> None:
        service = SERVICES[name]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert "USER memory" in IMAGE


class TestOrder:
    @pytest.mark.parametrize("name", ["ingest", "extract"])
    def test_two_of_each_start_when_database_and_topics_are_there(self, name: str) -> None:
        service = SERVICES[name]
        assert service["deploy"]["replicas"] == 2
        assert service["restart"] == "unless-stopped"
        assert service["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"},
            "topics": {"condition": "service_completed_successfully"},
        }

    def test_one_shots_wait_for_their_server(self) -> None:
        healthy = {"condition": "service_healthy"}
        assert SERVICES["migrate"]["depends_on"] == {"postgres": healthy}
        assert SERVICES["topics"]["depends_on"] == {"kafka": healthy}

    @pytest.mark.parametrize("name", sorted(SERVERS))
    def test_servers_say_whether_they_are_well_and_keep_their_data(self, name: str) -> None:
        service = SERVICES[name]
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["restart"] == "unless-stopped"
        assert [volume.split(":")[0] for volume in service["volumes"]] == [name]
        assert name in FILE["volumes"]


class TestContents:
    @pytest.mark.parametrize("name", OURS)
    def test_runs_a_command_that_exists_with_options_that_exist(self, name: str) -> None:
        commands = [SERVICES[name]["command"]]
        for command in commands:
            words = [w for w in command if w.isalpha()]
            shown = CliRunner().invoke(memory, [*words, "--help"])
            assert shown.exit_code == 0, shown.output
            assert [w for w in command if w.startswith("--") and w not in shown.output] == []

    def test_the_image_has_what_it_copies_and_installs(self) -> None:
        copied = [line.split()[1:-1] for line in IMAGE.splitlines() if line.startswith("COPY ")]
        sources = [s for words in copied for s in words if not s.startswith(("--", "/"))]
        assert [s for s in sources if not (ROOT / s).exists()] == []
        packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        shipped = packages["tool"]["hatch"]["build"]["targets"]["wheel"]
        assert {*shipped["packages"], *shipped["force-include"]} <= set(sources)
        (extras,) = re.findall(r"'\.\[(.*)\]'", IMAGE)
        assert set(extras.split(",")) <= set(packages["project"]["optional-dependencies"])

    def test_settings_are_of_this_release(self) -> None:
        ours = SERVICES["ingest"]["environment"]
        settings = {f"MEMORY_{name}".upper() for name in Settings.model_fields}
        options = {"MEMORY_LOG_FORMAT", *variables_of("ingest"), *variables_of("extract")}
        assert {name for name in ours if name.startswith("MEMORY")} <= settings | options

    @pytest.mark.docker
    def test_compose_reads_the_file(self) -> None:
        if shutil.which("docker") is None:
            pytest.skip("Docker is not installed")
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if asked.returncode != 0:
            pytest.skip("Docker is here without Compose")
        read = ["docker", "compose", "--file", str(ROOT / "compose.yaml"), "config", "--quiet"]
        subprocess.run(read, check=True)


def variables_of(name: str) -> set[str]:
    """The variables that set options of a command."""
    command = memory.get_command(click.Context(memory), name)
    assert command is not None
    return {str(option.envvar) for option in options_of(command) if option.envvar}


class TestHealth:
    @pytest.mark.parametrize("name", ["ingest", "extract"])
    def test_is_what_healthz_answers(self, name: str) -> None:
        _, program, *check = SERVICES[name]["healthcheck"]["test"]
        assert program == "python"
        health, address = Health(name), HealthAddress(port=free_port())
        environment = {**os.environ, "MEMORY_HEALTH_PORT": str(address.port)}
        assert "MEMORY_HEALTH_PORT" in SERVICES[name]["environment"]

        def checked() -> int:
            asked = subprocess.run(
                [sys.executable, *check], env=environment, stderr=subprocess.DEVNULL, check=False
            )
            return asked.returncode

        assert checked() == 1
        with answering(health, address):
            health.beat()
            assert checked() == 0
            health.beat(within=-1.0)
            assert checked() == 1

    def test_kafka_s_starts_no_jvm(self) -> None:
        _, program, _, script = SERVICES["kafka"]["healthcheck"]["test"]
        assert program == "bash"
        assert "/dev/tcp/" in script


def entry(given: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What the image's entry point does with a command that only prints what it got."""
    (line,) = re.findall(r"ENTRYPOINT (\[.*\])", IMAGE.replace("$$", "$"))
    shell, flag, script, name = json.loads(line)
    printing = script.replace("exec memory", "exec printf '%s|'")
    command = [shell, flag, f'{printing} "$PGPASSWORD"', name, "status", "--json"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")} | given
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


class TestEntry:
    def test_reads_the_password_from_its_file(self, tmp_path: Path) -> None:
        (tmp_path / "worker").write_text("correct horse")
        done = entry({"PGPASSWORD_FILE": str(tmp_path / "worker")})
        assert done.stdout == "status|--json|correct horse|"

    def test_needs_none(self) -> None:
        assert entry({}).stdout == "status|--json||"

    def test_ends_where_the_file_is_missing(self, tmp_path: Path) -> None:
        done = entry({"PGPASSWORD_FILE": str(tmp_path / "nothing")})
        assert (done.returncode != 0, done.stdout) == (True, "")


@pytest.fixture(scope="module")
def initialised() -> Iterator[str]:
    """A server of its own after the script that makes the logins."""
    directory = Path(tempfile.mkdtemp(prefix="compose-"))
    directory.chmod(0o755)
    server = embedded.start(directory, {"fsync": "off"})
    try:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("CREATE DATABASE memory")
        script = FILE["configs"]["logins"]["content"].replace("$$", "$")
        secrets = directory / "secrets"
        secrets.mkdir()
        for name in FILE["secrets"]:
            (secrets / name).write_text(f"it's {name}")
        parts = conninfo_to_dict(server)
        found = embedded._installed_binaries()
        subprocess.run(
            ["sh", "-e"],
            input=script.replace("/run/secrets", str(secrets)),
            env={
                **os.environ,
                "PATH": f"{found}:{os.environ['PATH']}",
                "PGHOST": str(parts["host"]),
            },
            text=True,
            check=True,
        )
        yield make_conninfo(server, dbname="memory")
    finally:
        embedded.stop(directory)


def as_login(server: str, name: str) -> Settings:
    url = SERVICES[name]["environment"]["MEMORY_DATABASE_URL"]
    user = conninfo_to_dict(url)["user"]
    return Settings(database_url=SecretStr(make_conninfo(server, user=user)), debounce=0.0)


@pytest.mark.postgres
async def test_the_logins_can_do_what_their_services_do(initialised: str) -> None:
    with psycopg.connect(initialised) as connection:
        (supers,) = connection.execute(
            "SELECT array_agg(rolname::text) FROM pg_roles WHERE rolsuper AND rolcanlogin"
        ).fetchall()
    assert supers == (["postgres"],)
    owner, worker, app = (as_login(initialised, name) for name in ("migrate", "extract", "app"))
    await migrate(url_of(owner))
    ana = Scope("default", "ana", "scout", "s1")
    async with AsyncMemoryClient(app, embedder=WordEmbedder()) as client:
        await client.record(ana, "I live in Berlin.")
        async with worker_database(worker) as database:
            await Worker(database, WordEmbedder(), [Residence()], worker).drain()
        (home,) = await client.history(ana)
    assert home.value == "berlin"
    with pytest.raises(ConfigurationError, match="permission denied to set role"):
        async with worker_database(app):
            pass


def url_of(settings: Settings) -> str:
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


@pytest.mark.kafka
def test_a_broker_takes_the_settings_of_the_container(tmp_path: Path) -> None:
    """As the image reads them: KAFKA_NODE_ID is node.id. Addresses and the directory are ours."""
    given = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for name, value in SERVICES["kafka"]["environment"].items()
        if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS"
    }
    local = {"listeners", "advertised.listeners", "controller.quorum.voters", "log.dirs"}
    assert local < set(given)
    ours = {name: value for name, value in given.items() if name not in local}
    try:
        broker = Broker.start(tmp_path, properties=ours)
    except NoBroker as error:
        pytest.skip(str(error))
    broker.stop()
