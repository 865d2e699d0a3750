# Each target is a line or two; what is longer is in scripts/. Arguments: make test ARGS='--test tidy'
.DEFAULT_GOAL := help
.PHONY: help run test test-clients promises demo chaos mutants bench bench-quick bench-long lint fmt clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: ## build and start Devtrail on ./devtrail-data (ARGS go to `devtrail up`)
	@nats=$$(scripts/nats-server.sh) && cargo build --profile quick --locked && \
	exec env DEVTRAIL_NATS_SERVER="$$nats" target/quick/devtrail up $(ARGS)

test: ## format, lints, build and every test (ARGS go to `cargo test`)
	@scripts/test.sh $(ARGS)

test-clients: ## clients that others wrote, against a real Devtrail (ARGS name some of them)
	@scripts/test-clients.sh $(ARGS)

promises: ## renew docs/contract-tests.md, the table of the contract's anchors and their tests
	DEVTRAIL_WRITE_DOCS=1 cargo test --workspace --features devtrail-workers/crash-points --locked --test contract_table

chaos: ## seeded faults under load: SEEDS=20 ENGINE=both SECONDS_EACH=30 SOAK=10m DOCS=1
	@scripts/chaos.sh

mutants: ## break one promise after another and expect red; renews docs/mutants.md (ARGS name some of them)
	@scripts/mutants.sh $(ARGS)

demo: ## send real input to a Devtrail on a temporary folder and verify it (on Postgres with DEVTRAIL_DATABASE_URL)
	@scripts/demo.sh

bench: ## measure every figure of docs/benchmarks.md beside its ceiling (ARGS='drain pipe' measures a part)
	@scripts/bench.sh --write $(ARGS)

bench-quick: ## the same in small sizes and built quickly, in under three minutes; writes nothing (ARGS name a part)
	@scripts/bench.sh --quick $(ARGS)

bench-long: ## ten million events, once; goes on where it was stopped
	@scripts/bench.sh --write long

lint: ## format and lints only
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features devtrail-workers/crash-points --locked -- -D warnings

fmt: ## format the sources
	cargo fmt --all

clean: ## remove what was built or fetched (never devtrail-data)
	cargo clean
	rm -rf .tools
