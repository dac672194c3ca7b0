# Tidegate's targets. `make help` lists them; everything that a target needs, it installs and says so.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

ARGS ?=
CARGO := cargo
GATEWAY := target/release/tidegate
SECONDS_EACH ?= 60
INPUTS ?= 10000000
TIMES ?= 1
# Offline works once everything is fetched; --locked keeps the versions of Cargo.lock.
LOCKED := --locked

.PHONY: help run test lint reloads bench benches loadtest torture torture-quick fuzz hostile sdk-bench matrix audit clean setup setup-test

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

run: setup ## Build and run the gateway: embedded store, no broker (ARGS="--config FILE")
	@echo "building the gateway (the first time takes a few minutes)"
	@$(CARGO) build $(LOCKED) --release --bin tidegate
	@exec $(GATEWAY) run $(ARGS)

test: setup setup-test ## Set up and run every test: format, lints, unit, integration with a real Kafka, load
	@.ci/test

lint: setup ## Format, clippy, and licences with cargo-deny
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(LOCKED) --workspace --all-targets -- -D warnings
	@command -v cargo-deny >/dev/null || { echo "installing cargo-deny (several minutes)"; \
		$(CARGO) install --locked cargo-deny@0.20.2; }
	$(CARGO) deny --config .deny.toml check licenses bans sources

bench: setup setup-test ## The floor table: CPU per event against the sum of the bare parts
	@$(CARGO) build $(LOCKED) --release --bin tidegate
	@$(CARGO) bench $(LOCKED) --bench floor -- $(ARGS)

benches: setup ## Criterion benches of every stage
	@$(CARGO) bench $(LOCKED) --bench admission --bench document --bench inflate --bench split --bench rules --bench journal --bench ingest

reloads: setup setup-test ## 10,000 reloads and 2,000 new certificates under load: no failed request or handshake, no mixed batch, no growth
	@TIDEGATE_RELOADS=$${RELOADS:-10000} TIDEGATE_SWAPS=$${SWAPS:-2000} \
		$(CARGO) test $(LOCKED) --test suite _under_load_ -- --nocapture --test-threads 1

loadtest: setup setup-test ## A million events through a fresh gateway and a fresh Kafka, both tiers read back
	@$(CARGO) build $(LOCKED) --release --workspace
	@target/release/loadtest run --mode kafka --events 1000000 --gateway $(GATEWAY) $(ARGS)

torture: setup setup-test ## Every fault under load, then random ones (ARGS="--seed N --rounds N --kills N --cuts N")
	@.ci/setup torture
	@$(CARGO) build $(LOCKED) --release --workspace
	@target/release/loadtest torture --gateway $(GATEWAY) $(ARGS)
	@target/release/loadtest torture --rounds 10 --gateway $(GATEWAY) $(ARGS)

torture-quick: setup setup-test ## The short forms of the worst faults, with a debug build (3 minutes)
	@$(CARGO) build $(LOCKED) --workspace --bins
	@target/debug/loadtest torture --quick --seed 1 --gateway target/debug/tidegate $(ARGS)

fuzz: setup ## Fuzz the parsers of outside bytes, one minute each, and 10 million bodies (SECONDS_EACH=60 INPUTS=N)
	@SECONDS_EACH=$(SECONDS_EACH) INPUTS=$(INPUTS) .ci/fuzz

hostile: setup ## Attacks on a gateway and what a calm client feels of them (ARGS="--only bombs,slow,floods,h2spec,tls,schema")
	@.ci/setup hostile
	@$(CARGO) build $(LOCKED) --release --workspace
	@target/release/loadtest hostile --gateway $(GATEWAY) $(ARGS)

sdk-bench: ## What the SDKs cost beside their nearest relatives, written to sdk/bench/RESULTS.md (ARGS="--rounds N python|go|node|web")
	@sdk/bench/run $(ARGS)

matrix: setup setup-test ## Every SDK through every scenario; writes the table in sdk/README.md (TIMES=20: so often, all alike)
	@$(CARGO) build $(LOCKED) --workspace --bins
	@.ci/matrix write $(TIMES)

audit: ## Advisories; needs the advisory database
	$(CARGO) deny --config .deny.toml check advisories

clean: ## Remove everything that was built or fetched here
	$(CARGO) clean
	rm -rf data tests/fuzz/target tests/fuzz/corpus tests/fuzz/artifacts

setup:
	@.ci/setup build

setup-test:
	@.ci/setup test
