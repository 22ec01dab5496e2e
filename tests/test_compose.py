"""compose.yaml: what can be known of it without running it.

With Docker Compose at hand it also reads the file; the containers themselves are not started here.
"""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.broker import Broker, NoBroker
from consumers.cli.application import memory

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

    def test_every_password_is_asked_for(self) -> None:
        given = re.findall(r"PASSWORD: (.*)", TEXT)
        assert len(given) == 2
        assert all(value.startswith("${POSTGRES_PASSWORD:?") for value in given)
        assert "://memory@" in SERVICES["ingest"]["environment"]["MEMORY_DATABASE_URL"]

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
        if "healthcheck" in SERVICES[name]:
            _, program, *check = SERVICES[name]["healthcheck"]["test"]
            assert program == "memory"
            commands.append(check)
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
        from memory.settings import Settings

        ours = SERVICES["ingest"]["environment"]
        named = {name.removeprefix("MEMORY_").lower() for name in ours if name.startswith("MEMORY")}
        assert named <= set(Settings.model_fields)

    @pytest.mark.docker
    def test_compose_reads_the_file(self) -> None:
        if shutil.which("docker") is None:
            pytest.skip("Docker is not installed")
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if asked.returncode != 0:
            pytest.skip("Docker is here without Compose")
        read = ["docker", "compose", "--file", str(ROOT / "compose.yaml"), "config", "--quiet"]
        environment = {k: v for k, v in os.environ.items() if k != "POSTGRES_PASSWORD"}
        bare = subprocess.run(read, capture_output=True, text=True, check=False, env=environment)
        assert "set POSTGRES_PASSWORD" in bare.stderr
        environment["POSTGRES_PASSWORD"] = "secret"  # noqa: S105
        subprocess.run(read, check=True, env=environment)


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
