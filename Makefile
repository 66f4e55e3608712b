# Every target makes its own environment: a fresh clone needs python3 >= 3.10 and make, nothing else.
#
#   make race                    train, compare and report      (ARGS="--quick", ARGS="--full --workers 2", …)
#   make test | lint | docs      what .ci/run runs              (ARGS="-k schedules" narrows the tests)
#   make test-full               every optimizer on every mesh, too; writes docs/sweep.md (some two hours)
#   make verify | verify-full    what papers claim, tried: the quick claims; all, each also on a wrong method
#   make bench                   step times beside torch and its peers
#   make clean                   remove the environment and what was built
#
#   make race TORCH_INDEX=https://download.pytorch.org/whl/cpu   take torch from there (CPU wheels, no CUDA)

PYTHON      ?= python3
TORCH_INDEX ?=
ARGS        ?=

VENV := .venv
BIN  := $(VENV)/bin
# constraints.txt holds torch to one version, so that a later extra can never swap it for another build
PIP  := $(BIN)/python -m pip --disable-pip-version-check install --constraint constraints.txt

.PHONY: race race-quick test test-full lint docs verify verify-full bench clean
.NOTPARALLEL:

race: $(VENV)/.race
	$(BIN)/piste race $(ARGS)

race-quick: $(VENV)/.race
	$(BIN)/piste race --quick $(ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

test-full: $(VENV)/.test
	PISTE_EVERY=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile -m "" $(ARGS)

lint: $(VENV)/.race $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(VENV)/.docs
	$(BIN)/python docs/_generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

verify: $(VENV)/.verify
	$(BIN)/piste verify $(ARGS)

verify-full: $(VENV)/.verify
	$(BIN)/piste verify --cost full --sabotage --write $(ARGS)

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) site build dist .pytest_cache .ruff_cache .hypothesis
	find src tests docs examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# One stamp per extra: a target installs what it needs and no more, once, and again when pyproject.toml changes.
$(VENV)/.race $(VENV)/.test $(VENV)/.dev $(VENV)/.docs $(VENV)/.bench $(VENV)/.verify: $(VENV)/.%: $(VENV)/.torch pyproject.toml
	@echo "installing piste[$*]"
	@$(PIP) --quiet --editable '.[$*]'
	@touch $@

# torch first and alone: only this install may look at TORCH_INDEX, everything else comes from the usual index.
$(VENV)/.torch: $(VENV)/.made constraints.txt
	@echo "installing torch $(if $(TORCH_INDEX),from $(TORCH_INDEX),from the default index)"
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@touch $@

# Debian and Ubuntu split venv's pip installer (ensurepip) off into a package of its own.
$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "no '$(PYTHON)' found. Remedy: install Python 3.10 or newer, or make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo "$$($(PYTHON) --version) is too old: piste needs 3.10 or newer. Remedy: make PYTHON=python3.11 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "$(PYTHON) cannot create environments (ensurepip is missing). Remedy: sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@
