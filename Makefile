# make run       the whole job on CIFAR-100, or on handwritten digits where CIFAR-100 cannot be had
# make test      lint, types and the fast suite
# make coverage  the same, and which lines and branches it reaches; a fifth slower
# make slow      what takes minutes or needs real data
# make kernels   what depends on the CPU's kernels, without oneDNN's and with them

PYTHON ?= python3
BUDGET ?= 5m
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: run test coverage slow kernels lint lock clean

run: $(READY)
	@data=cifar100; \
	$(BIN)/bakeoff data prepare cifar100 || { data=digits; echo "make run: no CIFAR-100 here, so this runs on the embedded digits"; }; \
	$(BIN)/bakeoff run $$data --budget $(BUDGET)

# With COVERAGE=1 workers are measured too, except those that are killed.
test: lint
	$(PYTEST) --durations=10 $(if $(COVERAGE),--cov --cov-report=term)

coverage:
	$(MAKE) test COVERAGE=1

slow: $(READY)
	$(BIN)/pytest -m slow

# TensorFlow takes oneDNN's kernels on CPUs with AVX-512 and its own on others, so each machine tries the other's too.
kernels: $(READY)
	TF_ENABLE_ONEDNN_OPTS=0 $(PYTEST) -m "kernels and not slow"
	TF_ENABLE_ONEDNN_OPTS=1 $(PYTEST) -m "kernels and not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What is installed is locked with hashes; `make lock` moves the versions.
$(READY): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --extra cpu --extra export --extra serve --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-annotate --no-header --quiet --upgrade --output-file requirements.lock

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
