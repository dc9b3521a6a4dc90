# make run    the whole job on CIFAR-100, or on handwritten digits where CIFAR-100 cannot be had
# make test   lint, types and the fast suite
# make slow   what takes minutes or needs real data

PYTHON ?= python3
BUDGET ?= 5m
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test slow lint lock clean

run: $(READY)
	@data=cifar100; \
	$(BIN)/bakeoff data prepare cifar100 || { data=digits; echo "make run: no CIFAR-100 here, so this runs on the embedded digits"; }; \
	$(BIN)/bakeoff run $$data --budget $(BUDGET)

test: lint
	$(BIN)/pytest -n 2 --dist loadfile

slow: $(READY)
	$(BIN)/pytest -m slow

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
