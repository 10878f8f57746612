# Each target sets up what it needs in $(VENV); a second run starts at once.
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# One stamp for each set of extras, as new as the pyproject.toml that it was installed from.
$(VENV)/.runtime: pyproject.toml scripts/setup-venv
	@scripts/setup-venv $(VENV)
	@touch $@

$(VENV)/.dev: pyproject.toml scripts/setup-venv
	@scripts/setup-venv $(VENV) dev
	@touch $(VENV)/.runtime $@

$(VENV)/.bench: pyproject.toml scripts/setup-venv
	@scripts/setup-venv $(VENV) bench
	@touch $(VENV)/.runtime $@

test: $(VENV)/.dev ## run all tests
	@$(BIN)/python -m pytest

lint: $(VENV)/.dev ## check style, format and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

clean: ## remove all that make made
	@rm -rf $(VENV) .demo dist
