# The targets of this clone; `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-print-directory --no-builtin-rules

# Absolute, so that several clones can share one CARGO_TARGET_DIR without rebuilding.
export DUCKDB_LIB_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/codeintel/duckdb-1.5.6
# rustup installs cargo here; shells that were opened before do not have it in PATH yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
# With ccache a second build of FAISS takes seconds.
ifneq ($(shell command -v ccache),)
export CMAKE_C_COMPILER_LAUNCHER ?= ccache
export CMAKE_CXX_COMPILER_LAUNCHER ?= ccache
endif

REPO ?= .
RECORD ?= benches/results/$(shell date +%F).md
# Folder into which `make gpu-check` writes gpu-check.json.
OUT ?= .gpu
# Runs a command that may mount file systems, of which nothing remains.
MOUNTS := unshare --map-root-user --mount
# Flags for scripts/measure and scripts/bench-peers, such as MEASURE="--quick --machine 'two cores'".
MEASURE ?=
SHELL_SCRIPTS := scripts/setup scripts/cuda-toolkit scripts/faiss-gpu scripts/demo scripts/check-kernels scripts/emulate-cuda scripts/check-metrics scripts/check-docker .ci/run
# In CI an outdated Cargo.lock is an error.
LOCKED := $(if $(CI),--locked)
# `make setup` creates this file if no prebuilt DuckDB could be fetched.
FEATURES = $(shell test ! -e .deps/bundled || echo --features bundled)
CARGO_FLAGS = $(LOCKED) $(FEATURES)

.PHONY: help setup build gpu demo test lint fmt deps-check metrics-check mcp-check docker-check cuda-check cuda-test gpu-check bench bench-peers measure doc

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Check the tools, install missing Debian packages, fetch DuckDB; safe to run again.
	@scripts/setup

build: setup ## Build the release binary.
	cargo build --release $(CARGO_FLAGS)
	@echo "built $${CARGO_TARGET_DIR:-target}/release/codeintel"

gpu: setup ## Build the release binary with CUDA, and FAISS for GPUs; fetches CUDA unless CUDA_HOME is set.
	@[ -n "$${CUDA_HOME:-}" ] || scripts/cuda-toolkit --full >/dev/null
	cargo build --release --features cuda $(CARGO_FLAGS)
	@scripts/faiss-gpu
	@echo "built $${CARGO_TARGET_DIR:-target}/release/codeintel"

demo: build ## Index this repository (or REPO=path) and run some searches.
	cargo run --release --quiet $(CARGO_FLAGS) -- model pull
	@scripts/demo "$(REPO)"

# The documentation tests come first, so that the summary of the test runner is the last line.
test: setup ## Run every test; fetches the default model if it is not installed.
	cargo run --quiet $(CARGO_FLAGS) -- model pull
	@status=0; \
	echo "cargo test --doc"; \
	cargo test --doc --quiet $(CARGO_FLAGS) || status=$$?; \
	if $(MOUNTS) true 2>/dev/null; then \
		echo "cargo test, in a mount namespace"; \
		$(MOUNTS) cargo test --test tests $(CARGO_FLAGS) -- --include-ignored a_full_disk || status=$$?; \
	else \
		echo "ignored: the test of a full disk, because mounting a file system is not permitted here"; \
	fi; \
	if command -v cargo-nextest >/dev/null; then \
		echo "cargo nextest run"; \
		cargo nextest run $(CARGO_FLAGS) || status=$$?; \
	else \
		echo "cargo test (cargo-nextest is not installed)"; \
		cargo test --lib --bins --tests $(CARGO_FLAGS) || status=$$?; \
	fi; \
	exit $$status

lint: setup ## Check formatting, clippy warnings and the shell scripts.
	cargo fmt --check
	cargo clippy --all-targets $(CARGO_FLAGS) -- -D warnings
	@if command -v shellcheck >/dev/null; then \
		echo "shellcheck"; shellcheck $(SHELL_SCRIPTS); \
	else \
		echo "shellcheck is not installed, so the shell scripts are only checked with bash -n"; \
		for script in $(SHELL_SCRIPTS); do bash -n "$$script"; done; \
	fi

fmt: ## Format the Rust code.
	cargo fmt

deps-check: setup ## Check licences and sources of every package, and advisories if cargo-deny is installed.
	scripts/check-dependencies
	@if command -v cargo-deny >/dev/null; then \
		echo "cargo deny check"; cargo deny check; \
	else \
		echo "deps-check: advisories and yanked versions were not checked, because that needs cargo-deny" \
			"and a network (cargo install --locked cargo-deny)"; \
	fi

metrics-check: setup ## Check metrics, alerts and dashboard with a real Prometheus; fetches it if it is not installed.
	cargo build $(CARGO_FLAGS)
	@scripts/setup prometheus
	@scripts/check-metrics

docker-check: ## Check the Dockerfiles and compose.yaml; fetches the linters, builds no image.
	@scripts/setup docker
	@scripts/check-docker

cuda-check: setup ## Check the CUDA kernels and the code around them without a GPU; fetches the compiler.
	@scripts/check-kernels
	cargo clippy --all-targets --features cuda $(CARGO_FLAGS) -- -D warnings

cuda-test: setup ## Run the tests of the CUDA code on an emulated driver; needs no GPU.
	@scripts/emulate-cuda cargo test --lib --test tests --features cuda $(CARGO_FLAGS) -- cuda dense::gpu --include-ignored

gpu-check: setup ## Pack a CUDA build for a GPU machine, and rehearse its checks here; needs no GPU.
	scripts/gpu-check dry "$(OUT)"

bench: setup ## Run the benchmarks.
	cargo bench --bench '*' $(CARGO_FLAGS)

bench-peers: RECORD = benches/results/$(shell date +%F)-peers.md
bench-peers: build ## Compare with other embedding engines; writes RECORD=path. The first run installs 5 GB.
	cargo run --release --quiet $(CARGO_FLAGS) -- model pull
	scripts/bench-peers "$(RECORD)" $(MEASURE)

measure: build ## Measure indexing and search; writes RECORD=path, a Markdown file.
	cargo run --release --quiet $(CARGO_FLAGS) -- model pull
	scripts/measure "$(RECORD)" $(MEASURE)

doc: setup ## Build the documentation; a broken link is an error.
	RUSTDOCFLAGS="-D rustdoc::broken_intra_doc_links" cargo doc --no-deps $(CARGO_FLAGS)
