# Each target sets up what it needs in $(VENV); a second run starts at once.
VENV ?= .venv
BIN := $(VENV)/bin

# The event log of `make demo`; where it is missing, a sample of the same shape is made.
LOG ?= ../shared/data/permits.jsonl

# How many processes `make test` shares the tests among; each has brokers of its own, and waits for
# them half of its time: one more than there are cores keeps two cores busy.
WORKERS ?= 3

# How many brokers `make broker` runs: 1 or 3. `make torture` takes the one, then the three.
BROKERS ?= 1

# How long `make torture` goes on with each, and the seed of a run to repeat.
MINUTES ?= 2
SEED ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-quick torture broker clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# One stamp for each set of extras, as new as the pyproject.toml that it was installed from.
$(VENV)/.runtime: pyproject.toml scripts/setup-venv
	@scripts/setup-venv $(VENV)
	@touch $@

$(VENV)/.dev: pyproject.toml scripts/setup-venv
	@scripts/setup-venv $(VENV) dev,kafka,postgres,bench
	@touch $(VENV)/.runtime $@

demo: $(VENV)/.runtime ## import an event log, load aggregates, rebuild a read model
	@rm -rf .demo && mkdir .demo
	@set -e; log='$(LOG)'; \
	if [ ! -f "$$log" ]; then \
	    log=.demo/sample.jsonl; $(BIN)/python -m projections.sample "$$log"; \
	fi; \
	$(BIN)/eventkit --app projections.permits --store sqlite:///.demo/events.db demo "$$log"

test: $(VENV)/.dev ## run all tests but those that take long
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadgroup

lint: $(VENV)/.dev ## check style, format and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

bench: $(VENV)/.dev ## measure all figures, half an hour, with a report in .bench/
	@$(BIN)/python -m tests.benchmarks

bench-quick: $(VENV)/.dev ## the same with few events, in three minutes
	@$(BIN)/python -m tests.benchmarks --quick

torture: $(VENV)/.dev ## run the slow tests; then kill, freeze and cut everything (MINUTES=60 SEED=7)
	@$(BIN)/python -m pytest -m torture
	@set -e; for brokers in $(if $(filter file,$(origin BROKERS)),1 3,$(BROKERS)); do \
	    $(BIN)/python -m tests.torture --minutes $(MINUTES) --brokers $$brokers $(if $(SEED),--seed $(SEED)); \
	done

broker: $(VENV)/.runtime ## run Kafka until Ctrl-C, without Docker (BROKERS=3 for three)
	@$(BIN)/python -m tools.broker --brokers $(BROKERS)

clean: ## remove what these commands made
	@rm -rf $(VENV) .demo .bench .kafka .hypothesis .mypy_cache .pytest_cache .ruff_cache
