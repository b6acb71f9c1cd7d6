# Everything a clone needs. `make help` lists the targets; each one installs what it uses the first time.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO_OUTPUT ?= demo_output
UPSTREAM_CACHE ?= .cache
PYTEST_ARGS ?=
# Processes that share the tests, a whole file to one of them; `make test WORKERS=0` runs them here, for a debugger.
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile
ACCURACY_ARGS ?=
# Trainings for comparison, which are measured if they are there; see recipes/README.md: a structure model without tRNAs
# and 5S rRNAs, and a 3D model that reads the sequence state alone.
HELD_OUT ?= runs/structure-without-trna-5s
SEQUENCE_HEAD ?= runs/3d-sequence
BENCH_ARGS ?=
PEER := .cache/multimolecule
PEER_PYTHON := $(PEER)/bin/python
MANIFESTS := pyproject.toml setup.cfg constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-min test-newest check format cards bench bench-quick upstream-source upstream-tests parity accuracy import-time clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "rna_hf needs Python 3.11 or newer; '$(PYTHON)' is missing or older ($$($(PYTHON) --version 2>&1 | head -n 1))."; \
	  echo "Name another interpreter, for instance: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The stamps are newer than the manifests once an installation is finished, so it is repeated only when one changes.
$(VENV)/.installed-dev: $(MANIFESTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $(VENV)/.installed-base $@

$(VENV)/.installed-base: $(MANIFESTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

setup: $(VENV)/.installed-dev  ## Create the environment with the tools for development

demo: $(VENV)/.installed-base  ## Predict the reactivity of well-known RNAs with the bundled model
	$(BIN)/rna-hf predict reactivity examples/well_known_rnas.fasta --output $(DEMO_OUTPUT)
	@echo; echo "The results are in $(DEMO_OUTPUT)/:"; ls -1 $(DEMO_OUTPUT)

test: $(VENV)/.installed-dev  ## Run the tests (no network, GPU or shared data needed)
	@$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-slow: $(VENV)/.installed-dev  ## Run the tests that take longer
	@$(PYTEST) -m slow $(PYTEST_ARGS)

# The oldest versions that pyproject.toml allows, and the newest ones that can be had; each in an environment of its own.
test-min: VENV := .venv-min
test-min:  ## Run the tests with the oldest transformers and huggingface_hub that are supported (network)
	@$(MAKE) --no-print-directory VENV=$(VENV) setup
	$(BIN)/python -m pip install --quiet -r constraints-min.txt
	@$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-newest: VENV := .venv-newest
test-newest:  ## Run the tests with the newest transformers and huggingface_hub (network)
	@$(MAKE) --no-print-directory VENV=$(VENV) setup
	$(BIN)/python -m pip install --quiet --upgrade transformers huggingface_hub
	@$(PYTEST) -m "not slow" $(PYTEST_ARGS)

check: $(VENV)/.installed-dev  ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev  ## Let ruff repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

cards: $(VENV)/.installed-dev  ## Write the model cards and the generated parts of README.md
	$(BIN)/python -m tools.report

# The wheel of transformers has no tests; its source distribution has the common test mixins. Once it is there,
# `make test` runs tests/upstream as well.
upstream-source: $(VENV)/.installed-dev  ## Fetch the source of the installed transformers (network)
	@version=$$($(BIN)/python -c 'from importlib.metadata import version; print(version("transformers"))'); \
	folder=$(UPSTREAM_CACHE)/transformers-$$version; \
	if [ ! -f "$$folder/tests/test_modeling_common.py" ]; then \
	  mkdir -p $(UPSTREAM_CACHE) && \
	  $(BIN)/python -m pip download --quiet --no-deps --no-binary :all: -d $(UPSTREAM_CACHE) "transformers==$$version" && \
	  tar -xzf "$$folder.tar.gz" -C $(UPSTREAM_CACHE); \
	fi && test -f "$$folder/tests/test_modeling_common.py"

upstream-tests: upstream-source  ## Run transformers' own common tests against our models
	@version=$$($(BIN)/python -c 'from importlib.metadata import version; print(version("transformers"))'); \
	TRANSFORMERS_SOURCE="$(abspath $(UPSTREAM_CACHE))/transformers-$$version" \
	  $(PYTEST) tests/upstream $(PYTEST_ARGS)

parity: $(VENV)/.installed-dev  ## Measure the distance to the original implementations again
	$(BIN)/python -m benchmarks.accuracy.parity --output benchmarks/results/ribonanzanet_parity.md

accuracy: $(VENV)/.installed-dev  ## Measure the accuracy of the bundled models again
	$(BIN)/python -m benchmarks.accuracy.reactivity $(ACCURACY_ARGS)
	$(BIN)/python -m benchmarks.accuracy.degradation --model ribonanzanet-mini-degradation
	$(BIN)/python -m recipes.ribonanzanet_mini.task_tables structure
	$(BIN)/python -m benchmarks.accuracy.structure --model ribonanzanet-mini-structure --family-limit 150 \
	  $(if $(wildcard $(HELD_OUT)/model.safetensors),--held-out tRNA=$(HELD_OUT) --held-out 5s=$(HELD_OUT))
	$(BIN)/python -m recipes.ribonanzanet_mini.task_tables 3d
	$(BIN)/python -m benchmarks.accuracy.tertiary --model ribonanzanet-mini-3d \
	  $(if $(wildcard $(SEQUENCE_HEAD)/model.safetensors),--model $(SEQUENCE_HEAD))
	$(BIN)/python -m benchmarks.accuracy.localisation --model rnatracker-mini --recipe recipes/rnatracker_mini/folds.yaml \
	  --original ../shared/data/rnatracker_weights/epoch100.pt

# The peer lives in an environment of its own and is no dependency of ours.
$(PEER_PYTHON):
	$(PYTHON) -m venv $(PEER)
	$(PEER)/bin/python -m pip install --quiet -c constraints.txt torch
	$(PEER)/bin/python -m pip install --quiet multimolecule || { rm -rf $(PEER); exit 1; }

bench: $(VENV)/.installed-dev $(PEER_PYTHON)  ## Measure speed and memory beside multimolecule (about three hours; network)
	$(BIN)/python -m benchmarks.speed.ribonanzanet --peer-python $(PEER_PYTHON) $(BENCH_ARGS)
	$(BIN)/python -m benchmarks.speed.ribonanzanet --longest 4096
	$(BIN)/python -m benchmarks.speed.tokenising --peer-python $(PEER_PYTHON) --output benchmarks/results/tokenising.json
	$(BIN)/python -m benchmarks.speed.throughput --output benchmarks/results/throughput.json
	$(BIN)/python -m benchmarks.speed.rnatracker
	$(BIN)/python -m tools.report

bench-quick: $(VENV)/.installed-dev $(PEER_PYTHON)  ## The same with short sequences, one round; writes nothing
	$(BIN)/python -m benchmarks.speed.ribonanzanet --peer-python $(PEER_PYTHON) --quick $(BENCH_ARGS)
	$(BIN)/python -m benchmarks.speed.tokenising --peer-python $(PEER_PYTHON)
	$(BIN)/python -m benchmarks.speed.throughput --count 100

import-time: $(VENV)/.installed-dev  ## Measure what `import rna_hf` costs on top of transformers
	$(BIN)/python -m benchmarks.speed.import_time

clean:  ## Remove what was built, but not the environment
	rm -rf build dist $(DEMO_OUTPUT) .pytest_cache .ruff_cache .mypy_cache src/*.egg-info
	find src tests benchmarks recipes tools -name __pycache__ -type d -prune -exec rm -rf {} +
