# `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help run search gpu test test-all lint lock notebook bench screenshot clean
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
# Some tests wait, for a server or a queue: one worker more than cores keeps them busy.
WORKERS = --dist worksteal --numprocesses $$(python -c 'import os; print(1 + os.cpu_count())')
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: $(VENV)/installed  ## Set up the environment and run the pipeline
	@python -m pipeline run

search: $(VENV)/installed-search  ## Set up the environment and search for better parameters, as search.yaml says
	@python -m pipeline search

gpu: $(VENV)/installed-gpu  ## Also install what TensorFlow needs for a GPU by NVIDIA: 3 GB more

test: $(VENV)/installed-dev lint  ## Set up the environment, check the code and run the tests
	@pytest $(WORKERS)

test-all: test  ## Also run the tests that prove in more places what others prove in one
	@pytest $(WORKERS) -m exhaustive

lint: $(VENV)/installed-dev  ## Check style, format, types, and who imports whom
	@ruff check
	@ruff format --check
	@mypy
	@lint-imports --no-cache --no-logo

lock: $(VENV)/installed-dev  ## Resolve requirements*.in into requirements*.txt, pinned with hashes
	@for set in requirements requirements-search requirements-dev requirements-notebook requirements-gpu; do \
		uv pip compile --quiet --upgrade --universal --python-version 3.11 --fork-strategy fewest \
			--generate-hashes --no-annotate --no-header $$set.in --output-file $$set.txt || exit 1; \
	done

notebook: $(VENV)/installed-notebook  ## Open the tutorial, docs/tutorial.ipynb
	@jupyter lab docs/tutorial.ipynb

bench: $(VENV)/installed benchmarks/$(VENV)/installed  ## Time the pipeline beside its peers: some twenty minutes on a quiet machine
	@python -m benchmarks --peers benchmarks/$(VENV)/bin/python

screenshot:  ## Refresh the pictures that the README shows, from plots/ (needs Chromium)
	@cp plots/predictions.png plots/history.png plots/calibration.png docs/
	@chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars \
		--force-prefers-color-scheme=light --window-size=1280,1700 \
		--screenshot=docs/report.png 'file://$(CURDIR)/plots/report.html'

clean:  ## Remove the environment and what tools have cached; results stay
	rm -rf $(VENV) benchmarks/$(VENV) .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

benchmarks/$(VENV)/installed: benchmarks/requirements.txt
	$(PYTHON) -m venv benchmarks/$(VENV)
	benchmarks/$(VENV)/bin/pip install --quiet -r $<
	@touch $@

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "Python 3.11 to 3.13 is needed, $$($(PYTHON) --version) was found; name another: make PYTHON=python3.12" >&2; exit 1; }
	@git rev-parse --git-dir >/dev/null 2>&1 || \
		{ echo "This is not a git repository, which DVC needs: clone the project, or make it one with git init, git add --all and git commit" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || \
		{ echo "Python's venv is missing; on Debian: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo 'Installing the pinned packages into $(VENV): a minute or two, and 2.5 GB'
	$(VENV)/bin/pip install --quiet --require-hashes -r $<
	@touch $@

$(VENV)/installed-dev $(VENV)/installed-gpu $(VENV)/installed-notebook $(VENV)/installed-search: $(VENV)/installed-%: requirements-%.txt $(VENV)/installed
	$(VENV)/bin/pip install --quiet --require-hashes -r $<
	@touch $@
