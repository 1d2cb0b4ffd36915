# `make run` and `make test` set up what they need by themselves, once.
PYTHON := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help run test check format bench servers schema docs setup setup-test

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '%-9s %s\n' "$$name" "$$text"; done

run: setup ## Start everything on this machine; ARGS="--port 9000 --data-dir DIR"
	@exec .venv/bin/penstock up $(ARGS)

test: setup-test ## Run all tests, the checks among them; ARGS="tests/core -k name"
	@$(PYTHON) -m pytest $(ARGS)

check: setup ## Formatting, lint, types, import layers
	@$(PYTHON) -m ruff format --check . && $(PYTHON) -m ruff check . && $(PYTHON) -m mypy && .venv/bin/lint-imports

format: setup ## Format the code, and mend what ruff can mend
	@$(PYTHON) -m ruff format . && $(PYTHON) -m ruff check --fix .

bench: setup-test ## Measure, and print one table
	@$(PYTHON) -m benchmarks $(ARGS)

servers: ## Build the real servers of the tests into a cache
	@tests/servers.sh

schema: setup ## Write schema/schema.graphql
	@$(PYTHON) -m schema > schema/schema.graphql.new && mv schema/schema.graphql.new schema/schema.graphql

docs: setup-test ## Write the module list of docs/architecture.md, and the examples of the API's document
	@$(PYTHON) scripts/architecture.py && $(PYTHON) -m tests.api.tour

setup:
	@scripts/setup.sh run

setup-test:
	@scripts/setup.sh test
