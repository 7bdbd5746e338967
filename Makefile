# Everything a person or a build machine does with this tree. `make` alone lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Installing comes before building, building before running.
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Tools that scripts/setup puts into the project, then cargo's, then the system's.
export PATH := $(CURDIR)/.tools/venv/bin:$(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

# One clock for all headings, across the makes that call each other.
ifndef STEP_EPOCH
export STEP_EPOCH := $(shell date +%s)
endif
STEP := @scripts/step

# One profile for the product, its tests and its checks: what is compiled once is used by all.
CARGO_FLAGS := --release --locked

# Tests of the server wait for it most of the time, so that more of them run than there are cores.
THREADS := RUST_TEST_THREADS=$(shell echo $$((2 * $$(nproc))))

# Given to `barrage serve` and `barrage demo`, as in: make run ARGS='--data-dir /srv/barrage'
ARGS ?=

# How long each fuzz target runs: under `make fuzz`, and as the short try within `make test`.
FUZZ_SECONDS ?= 600
FUZZ_TRY_SECONDS ?= 10

# How often and how long the benches measure each thing.
BENCH_RUNS ?= 3
BENCH_SECONDS ?= 10

# How often the soak kills the server, and with what its chance begins.
SOAK_CYCLES ?= 1000
SOAK_SEED ?= 20261123

.PHONY: help run demo build test test-libfdk check fuzz mutants-gifts autobahn screens bench-media bench-chat bench-webrtc bench-gifts soak-gifts setup-% web

help: ## this list
	@echo 'Barrage: a self-hosted live-streaming server'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo 'Each installs what it needs and lacks, or says what to install (scripts/setup).'
	@echo "Settings: ARGS='…' for run and demo; FUZZ_SECONDS=$(FUZZ_SECONDS) for fuzz;"
	@echo "BENCH_RUNS=$(BENCH_RUNS) and BENCH_SECONDS=$(BENCH_SECONDS) for the benches."

run: setup-run build ## build and start the server, and print what to type into OBS
	@echo
	@exec target/release/barrage serve $(ARGS)

demo: setup-demo build ## the same, with a moving picture published to it
	@echo
	@exec target/release/barrage demo $(ARGS)

build: web ## build target/release/barrage and target/release/barrage-load
	$(STEP) 'server' cargo build $(CARGO_FLAGS) -p barrage -p loadtest

# Development dependencies may change what our own crates are compiled with. So the binaries are built
# once more after the tests of the crates, as they are shipped, and the browser sees those. Two at once
# where no times are measured. Peers of other makes and clocks that run apart, which no engine has to do
# with, are met once.
test: setup-test web ## every test: crates, real clients, pages, browser
	$(STEP) 'tests of the server: build' cargo test $(CARGO_FLAGS) --workspace --no-run
	$(STEP) 'tests of the server' env $(THREADS) cargo test $(CARGO_FLAGS) --workspace
	$(STEP) 'sound made in the process' cargo test $(CARGO_FLAGS) -p sound --features libfdk
	$(STEP) 'the same on PostgreSQL, NATS and Redis' env $(THREADS) scripts/engines cargo test $(CARGO_FLAGS) --workspace --test e2e --test upgrade --test ledger -- --skip peers:: --skip apart::
	$(STEP) 'tests of the pages' npm --prefix web test
	$(STEP) 'server' cargo build $(CARGO_FLAGS) -p barrage -p loadtest
	@scripts/beside 'accounts in a browser' npm --prefix web run account \
		--- 'WebSockets, as the Autobahn suite knows them' scripts/autobahn quick
	@scripts/beside 'studio in a browser' npm --prefix web run journeys \
		--- 'every route, as its description says' scripts/schemathesis --max-examples=20
	$(STEP) 'server in a browser' npm --prefix web run e2e
	$(STEP) 'chat in a browser' npm --prefix web run chat
	$(STEP) 'gifts in Chromium and Firefox' npm --prefix web run gifts
	$(STEP) 'OBS Studio, Chromium and Firefox' npm --prefix web run obs
	$(STEP) 'player in a browser' npm --prefix web run playback
	$(STEP) 'WebRTC in browsers' npm --prefix web run webrtc
	@scripts/beside 'accessibility of the pages' npm --prefix web run axe \
		--- 'a short try of the fuzz targets' scripts/fuzz $(FUZZ_TRY_SECONDS)

# What takes seconds stands first. Clippy and rustdoc run in the release profile because build
# scripts (SQLite among them) and macros are then compiled once for them and for the build.
check: setup-check web ## formatting, lints, documentation, licences, spelling
	$(STEP) 'formatting' cargo fmt --all --check
	$(STEP) 'spelling' typos
	$(STEP) 'shell scripts' shellcheck scripts/* .ci/run
	$(STEP) 'pages' npm --prefix web run check
	$(STEP) 'unused dependencies' cargo machete
	$(STEP) 'licences, sources, bans' cargo deny --locked --log-level error check --hide-inclusion-graph bans licenses sources
	$(STEP) 'known vulnerabilities' scripts/advisories
	$(STEP) 'lints' cargo clippy $(CARGO_FLAGS) --workspace --all-targets -- -D warnings
	$(STEP) 'lints of what is a feature' cargo clippy $(CARGO_FLAGS) -p sound --features libfdk --all-targets -- -D warnings
	@RUSTDOCFLAGS='-D warnings' scripts/step 'documentation' cargo doc $(CARGO_FLAGS) --workspace --no-deps

# The server with libfdk is another one: most of the workspace is compiled once more for it.
test-libfdk: setup-test web ## the tests of renditions with sound made in the process
	$(STEP) 'the server with libfdk' cargo test $(CARGO_FLAGS) --workspace --features barrage/libfdk --test e2e bridges
	$(STEP) 'its renditions' cargo test $(CARGO_FLAGS) --workspace --features barrage/libfdk --test renditions

# It goes on where it was stopped; on PostgreSQL, whose server is gone with it, it begins anew.
soak-gifts: setup-test web ## gifts under load on a server killed a thousand times, on SQLite and on PostgreSQL
	$(STEP) 'tests of the server: build' cargo test $(CARGO_FLAGS) --workspace --test e2e --no-run
	$(STEP) 'a soak on SQLite' env SOAK_CYCLES=$(SOAK_CYCLES) SOAK_SEED=$(SOAK_SEED) SOAK_DIR=$(CURDIR)/target/soak-gifts \
		cargo test $(CARGO_FLAGS) --workspace --test e2e -- --nocapture soak::
	$(STEP) 'a soak on PostgreSQL' env SOAK_CYCLES=$(SOAK_CYCLES) SOAK_SEED=$(SOAK_SEED) \
		scripts/engines cargo test $(CARGO_FLAGS) --workspace --test e2e -- --nocapture soak::

fuzz: setup-fuzz ## run every fuzz target for FUZZ_SECONDS
	$(STEP) 'fuzzing' scripts/fuzz $(FUZZ_SECONDS)

mutants-gifts: setup-mutants ## change the ledger's core in one place at a time: a test notices each
	$(STEP) 'the ledger, changed in one place at a time' scripts/mutants

autobahn: setup-autobahn ## run the whole Autobahn suite, into docs/autobahn.md
	$(STEP) 'WebSockets, as the Autobahn suite knows them' scripts/autobahn all

screens: setup-screens build ## take the screenshots in docs/screens/
	$(STEP) 'screenshots' npm --prefix web run screens

bench-media: setup-bench build ## measure RTMP, FLV and LL-HLS beside nginx, into docs/benchmarks.md
	$(STEP) 'media beside nginx' env BENCH_RUNS=$(BENCH_RUNS) BENCH_SECONDS=$(BENCH_SECONDS) loadtest/bench/media

bench-chat: setup-bench build ## measure rooms full of viewers beside nchan, into docs/benchmarks.md
	$(STEP) 'rooms beside nchan' env BENCH_RUNS=$(BENCH_RUNS) BENCH_SECONDS=$(BENCH_SECONDS) loadtest/bench/chat

bench-webrtc: setup-bench-webrtc build ## measure WebRTC beside Janus, into docs/benchmarks.md
	$(STEP) 'WebRTC beside Janus' env BENCH_RUNS=$(BENCH_RUNS) BENCH_SECONDS=$(BENCH_SECONDS) loadtest/bench/webrtc

bench-gifts: setup-bench-gifts ## measure the ledger beside pgbench, into docs/benchmarks.md
	$(STEP) 'the ledger' cargo build $(CARGO_FLAGS) --workspace --example gifts
	$(STEP) 'gifts beside pgbench' env BENCH_RUNS=$(BENCH_RUNS) BENCH_SECONDS=$(BENCH_SECONDS) loadtest/bench/gifts

setup-%:
	@scripts/setup $*

# ---- the web app, which the binary embeds --------------------------------------------------------

# Folders are listed too, so that a file that has gone is noticed. Not web/ itself: writing dist/
# into it would make it newer than what was just built.
WEB_SOURCES := $(shell find web -mindepth 1 \( -name node_modules -o -name dist -o -name tests \
	-o -name coverage -o -name '*.timestamp-*' \) -prune -o -print)

web: web/dist/index.html

web/dist/index.html: web/node_modules/.package-lock.json $(WEB_SOURCES)
	$(STEP) 'web app' npm --prefix web run build
	@touch $@

web/node_modules/.package-lock.json: web/package-lock.json web/package.json
	$(STEP) 'libraries of the web app' npm --prefix web ci
	@touch $@
