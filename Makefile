# make demo [FILE=...]   set up, and send a real file through an emulated CDF and back
# make test              set up, and run every test
#
# Each works on a fresh Debian or Ubuntu with Python >= 3.11 and nothing else.

SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# One stamp per set of extras: each is installed once, and again when pyproject.toml changes.
STAMP := .venv/stamp

.PHONY: demo test test-fast clients lint bench soak docs lab notebooks clean

demo: $(STAMP)-demo
	$(BIN)/python -m cognite_nb_upload demo $(if $(FILE),"$(FILE)")

# Three processes on two cores: many tests wait for a store, a browser or a limit of bandwidth.
test: $(STAMP)-test
	$(BIN)/python -m pytest -n 3 --dist loadgroup

# Without what takes long: real stores, browsers, whole kernels' worth of waiting.
test-fast: $(STAMP)-test
	$(BIN)/python -m pytest -m "not slow and not browser and not store"

# Other people's clients, the newest of each, at the emulator: those of `make test` and four more.
clients: $(STAMP)-test
	$(BIN)/python -m pytest tests/clients/test_official_clients.py tests/clients/more_clients.py

lint: $(STAMP)-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Run the notebooks, and keep their outputs.
notebooks: $(STAMP)-test
	$(BIN)/python notebooks/build_notebooks.py

bench: $(STAMP)-test
	$(BIN)/python tests/bench/run.py

# Random stops with faults on, for 15 minutes: bytes right, nothing leaks. Not in CI.
soak: $(STAMP)-test
	$(BIN)/python tests/soak/soak.py --minutes $(or $(MINUTES),15)

# The documents as a site in build/site; a dead link is an error.
docs: $(STAMP)-docs
	$(BIN)/python docs/build_api.py
	$(BIN)/python docs/rooms.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build -q

lab: $(STAMP)-lab
	$(BIN)/python -m cognite_nb_upload lab

clean:
	rm -rf .venv build artifacts .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: apt-get install python3"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; bash tests/system.sh venv && $(PYTHON) -m venv .venv; }

$(STAMP)-demo: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install -q -e '.[emulator]'
	@touch $@

$(STAMP)-lab: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install -q -e '.[emulator,lab,dask,map,objects,stores]'
	@touch $@

$(STAMP)-docs: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install -q -e '.[emulator,docs]'
	@touch $@

$(STAMP)-lint: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install -q -e '.[emulator,test,lint]'
	@touch $@

$(STAMP)-test: .venv/bin/python pyproject.toml tests/system.sh
	$(BIN)/python -m pip install -q -e '.[emulator,test,stores,browser,lint,docs]'
	@bash tests/system.sh tests
	@touch $@
