# make help says what each target does.

PYTHON ?= python3
BUDGET ?= 5m
BIN := .venv/bin
# What running needs, and on top of it what developing needs, and what the site needs.
USABLE := .venv/.usable
READY := .venv/.ready
WRITABLE := .venv/.writable
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet

.PHONY: help run test coverage slow kernels lint docs wheel lock clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s%s\n", $$1, $$2 }'

# Another budget is another study, so each has a folder of its own.
run: $(USABLE) ## the whole job on CIFAR-100, or on handwritten digits where that cannot be had; BUDGET=30m for longer
	@data=cifar100; \
	$(BIN)/bakeoff data prepare cifar100 || { data=digits; echo "make run: no CIFAR-100 here, so this runs on the embedded digits"; }; \
	$(BIN)/bakeoff run $$data --budget $(BUDGET) --out bakeoff-$$data-$(BUDGET)

# With COVERAGE=1 workers are measured too, except those that are killed.
test: lint ## lint, types and the fast tests
	$(PYTEST) --durations=10 $(if $(COVERAGE),--cov --cov-report=term)

coverage: ## the same, and which lines and branches it reaches; a fifth slower
	$(MAKE) test COVERAGE=1

slow: $(READY) ## the tests that take minutes or need real data
	$(BIN)/pytest -m slow

# TensorFlow takes oneDNN's kernels on CPUs with AVX-512 and its own on others. `make test` tries those of this CPU.
OTHER_KERNELS = $(shell grep -qs avx512f /proc/cpuinfo && echo 0 || echo 1)
kernels: $(READY) ## the tests that depend on the CPU's kernels, with those of other CPUs
	TF_ENABLE_ONEDNN_OPTS=$(OTHER_KERNELS) $(PYTEST) -m "kernels and not slow"

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The notebook is executed again if the Python API has changed since, which takes minutes.
docs: $(WRITABLE) ## build the site into site/; a link that leads nowhere is an error
	$(BIN)/python docs/write_reference.py
	$(BIN)/python docs/run_notebook.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheel: $(READY) ## build the wheel and the source archive, install each into an empty environment, and use it there
	rm -rf dist
	$(BIN)/uv build --quiet --python $(BIN)/python
	$(BIN)/python .ci/try_packages.py dist/*.whl dist/*.tar.gz

# What is installed is locked with hashes; `make lock` moves the versions. KerasHub comes without its dependencies, which
# include a second TensorFlow; the extra `hub` has those that are needed.
$(USABLE): requirements-run.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements-run.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(READY): requirements.lock requirements-hub.lock $(USABLE)
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --require-hashes --no-deps -r requirements-hub.lock
	touch $@

$(WRITABLE): requirements-docs.lock $(USABLE)
	$(PIP) --require-hashes -r requirements-docs.lock
	touch $@

lock: $(READY) ## move the versions of the locked packages
	$(COMPILE) pyproject.toml --extra cpu --extra export --extra serve --extra hub --extra dev --upgrade --output-file requirements.lock
	$(COMPILE) pyproject.toml --extra cpu --extra build --constraint requirements.lock --upgrade --output-file requirements-run.lock
	$(COMPILE) pyproject.toml --extra cpu --extra docs --constraint requirements.lock --upgrade --output-file requirements-docs.lock
	echo keras-hub | $(COMPILE) - --no-deps --upgrade --output-file requirements-hub.lock

clean: ## delete the environment and the caches of the tools
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache dist site
