# What can be done with this clone. `make` alone lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-print-directory --no-builtin-rules

# Absolute, so that several clones can share one CARGO_TARGET_DIR without building twice.
export DUCKDB_LIB_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/codeintel/duckdb-1.5.6
# rustup puts cargo here; a shell that was not opened anew does not know it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
# The second build of FAISS is free with ccache.
ifneq ($(shell command -v ccache),)
export CMAKE_C_COMPILER_LAUNCHER ?= ccache
export CMAKE_CXX_COMPILER_LAUNCHER ?= ccache
endif

REPO ?= .
RECORD ?= benches/results/$(shell date +%F).md
# Where `make gpu-check` leaves gpu-check.json.
OUT ?= .gpu
# Such as MEASURE="--quick --machine 'two cores'".
MEASURE ?=
SHELL_SCRIPTS := scripts/setup scripts/cuda-toolkit scripts/faiss-gpu scripts/demo scripts/check-kernels scripts/emulate-cuda scripts/check-metrics scripts/check-docker .ci/run
# In CI the lock file is taken as it is.
LOCKED := $(if $(CI),--locked)
# `make setup` leaves the marker where no prebuilt DuckDB could be fetched.
FEATURES = $(shell test ! -e .deps/bundled || echo --features bundled)
CARGO_FLAGS = $(LOCKED) $(FEATURES)

.PHONY: help setup build gpu demo test lint fmt deps-check metrics-check docker-check cuda-check cuda-test gpu-check bench bench-peers measure doc

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Check the tools, install missing Debian packages, fetch DuckDB; safe to repeat.
	@scripts/setup

build: setup ## Build the release binary.
	cargo build --release $(CARGO_FLAGS)
	@echo "built $${CARGO_TARGET_DIR:-target}/release/codeintel"

gpu: setup ## Build the release binary for CUDA as well, and FAISS; fetches CUDA unless CUDA_HOME names one.
	@[ -n "$${CUDA_HOME:-}" ] || scripts/cuda-toolkit --full >/dev/null
	cargo build --release --features cuda $(CARGO_FLAGS)
	@scripts/faiss-gpu
	@echo "built $${CARGO_TARGET_DIR:-target}/release/codeintel"

demo: build ## Index this repository (or REPO=path) and ask it some questions.
	cargo run --release --quiet $(CARGO_FLAGS) -- model pull
	@scripts/demo "$(REPO)"

# The examples in the documentation first, so that the runner's summary is the last line.
test: setup ## Run every test; fetches the default model when it is not here.
	cargo run --quiet $(CARGO_FLAGS) -- model pull
	@status=0; \
	echo "cargo test --doc"; \
	cargo test --doc --quiet $(CARGO_FLAGS) || status=$$?; \
	if command -v cargo-nextest >/dev/null; then \
		echo "cargo nextest run"; \
		cargo nextest run $(CARGO_FLAGS) || status=$$?; \
	else \
		echo "cargo test (cargo-nextest is not installed)"; \
		cargo test --lib --bins --tests $(CARGO_FLAGS) || status=$$?; \
	fi; \
	exit $$status

lint: setup ## Check the format, clippy without a warning, and the shell scripts.
	cargo fmt --check
	cargo clippy --all-targets $(CARGO_FLAGS) -- -D warnings
	@if command -v shellcheck >/dev/null; then \
		echo "shellcheck"; shellcheck $(SHELL_SCRIPTS); \
	else \
		echo "shellcheck is not installed: the shell scripts are checked by bash -n only"; \
		for script in $(SHELL_SCRIPTS); do bash -n "$$script"; done; \
	fi

fmt: ## Format the Rust code.
	cargo fmt

deps-check: setup ## Check the licences and sources of every package, advisories with cargo-deny.
	scripts/check-dependencies
	@if command -v cargo-deny >/dev/null; then \
		echo "cargo deny check"; cargo deny check; \
	else \
		echo "deps-check: advisories and yanked versions were not checked: they need cargo-deny" \
			"and a network (cargo install --locked cargo-deny)"; \
	fi

metrics-check: setup ## Check metrics, alerts and dashboard with a real Prometheus; fetches it when it is not here.
	cargo build $(CARGO_FLAGS)
	@scripts/setup prometheus
	@scripts/check-metrics

docker-check: ## Check the Dockerfiles and compose.yaml; builds no image, fetches the linters.
	@scripts/setup docker
	@scripts/check-docker

cuda-check: setup ## Check the CUDA kernels and the code around them; needs no GPU, fetches the compiler.
	@scripts/check-kernels
	cargo clippy --all-targets --features cuda $(CARGO_FLAGS) -- -D warnings

cuda-test: setup ## Run the tests of the CUDA code, on a GPU's driver that is emulated on the CPU.
	@scripts/emulate-cuda cargo test --lib --test tests --features cuda $(CARGO_FLAGS) -- cuda dense::gpu

gpu-check: setup ## Pack a CUDA build for a GPU machine, and rehearse here what will run there; needs no GPU.
	scripts/gpu-check dry "$(OUT)"

bench: setup ## Run the benchmarks.
	cargo bench --bench '*' $(CARGO_FLAGS)

bench-peers: RECORD = benches/results/$(shell date +%F)-peers.md
bench-peers: build ## Measure other engines beside this one; writes RECORD=path. The first run installs 5 GB.
	cargo run --release --quiet $(CARGO_FLAGS) -- model pull
	scripts/bench-peers "$(RECORD)" $(MEASURE)

measure: build ## Measure indexing and search; writes RECORD=path, a Markdown file.
	cargo run --release --quiet $(CARGO_FLAGS) -- model pull
	scripts/measure "$(RECORD)" $(MEASURE)

doc: setup ## Build the documentation; a broken link is an error.
	RUSTDOCFLAGS="-D rustdoc::broken_intra_doc_links" cargo doc --no-deps $(CARGO_FLAGS)
