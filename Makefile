# Two commands: `make run` for a report, `make test` for the tests. Both set everything up first.

PYTHON ?= python3
CORES ?= all
# Another study: make run STUDY=studies/mine.yaml
STUDY ?=
# A finished run under a name: make keep NAME=before
NAME ?=
RESULTS ?= results

VENV := .venv
ACTIVATE := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
COMPILE := $(ACTIVATE) pip-compile --quiet --strip-extras --allow-unsafe --no-header --annotation-style=line \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options

.PHONY: run runtimes keep share slurm test check lint lint-types lint-tests lint-style lint-workflow format schema columns lock pictures clean help

run: $(VENV)/run.stamp ## set up, run the study, make results/report.html
	$(if $(STUDY),$(ACTIVATE) python scripts/check_study.py $(STUDY))
	$(ACTIVATE) snakemake --cores $(CORES) --resources gpu=1 $(if $(STUDY),--configfile $(STUDY))

runtimes: $(VENV)/run.stamp $(VENV)/runtimes.stamp ## set up every optional runtime: ONNX Runtime, OpenVINO, whisper.cpp, faster-whisper, torchao

keep: $(VENV)/run.stamp ## copy the run in results/ to runs/NAME, to compare with later
	$(ACTIVATE) python scripts/runs.py keep '$(NAME)' '$(RESULTS)'

share: $(VENV)/run.stamp ## pack report and tables for others, without what the study withholds: results/share.zip
	$(ACTIVATE) python scripts/share.py '$(RESULTS)'

slurm: $(VENV)/run.stamp $(VENV)/slurm.stamp ## set up what profiles/slurm needs on top

test: $(VENV)/dev.stamp $(VENV)/axe.stamp ## set up and run every test (needs Chromium, npm; SLURM's tests also its packages and root)
# Three groups of tests at a time, the long ones first (the longest mostly waits for SLURM); then, one after another,
# those that measure with every core. One thread each: where several programs have as many threads as there are cores,
# these wait for one another.
	$(ACTIVATE) OMP_NUM_THREADS=1 pytest -m "not alone" --numprocesses 3 --dist loadscope --no-loadscope-reorder
	$(ACTIVATE) pytest -m alone $$(grep -rl --include="test_*.py" "mark\.alone" tests)

check: lint ## before each commit: lint and unit tests, in about a minute on two cores
	$(ACTIVATE) OMP_NUM_THREADS=1 pytest tests/unit -m "not simulation" --numprocesses 2 --dist loadscope --quiet

lint: $(VENV)/dev.stamp ## style, types, which room imports which, workflow
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint-types lint-tests lint-style lint-workflow

lint-types:
	$(ACTIVATE) mypy

lint-tests:
	$(ACTIVATE) mypy --config-file tests/mypy.ini tests

lint-style:
	$(ACTIVATE) ruff check .
	$(ACTIVATE) ruff format --check .
	$(ACTIVATE) PYTHONPATH=scripts lint-imports

lint-workflow:
	$(ACTIVATE) snakefmt --check Snakefile rules
	$(ACTIVATE) snakemake --lint

format: $(VENV)/dev.stamp ## put the code into form
	$(ACTIVATE) ruff check --fix .
	$(ACTIVATE) ruff format .
	$(ACTIVATE) snakefmt Snakefile rules

schema: $(VENV)/dev.stamp ## schemas/study.schema.json, of the types in the code
	$(ACTIVATE) PYTHONPATH=tests:scripts python -m tools.schema --fix

columns: $(VENV)/dev.stamp ## docs/columns.md, of what the columns of all tables say of themselves
	$(ACTIVATE) PYTHONPATH=tests:scripts python -m tools.columns --fix

lock: $(VENV)/dev.stamp ## resolve versions anew: requirements/*.lock and envs/*.yaml
	cd requirements && $(COMPILE) --output-file run.lock run.in
	cd requirements && $(COMPILE) --constraint run.lock --output-file runtimes.lock runtimes.in
	cd requirements && $(COMPILE) --constraint run.lock --constraint runtimes.lock --output-file dev.lock dev.in
	cd requirements && $(COMPILE) --constraint run.lock --output-file slurm.lock slurm.in
# A local label such as +cpu names one build of torch; the version holds for all.
	sed -i 's/^\(torch==[0-9.]*\)+[a-z0-9]*/\1/' requirements/run.lock requirements/runtimes.lock requirements/dev.lock
	$(ACTIVATE) PYTHONPATH=tests:scripts python -m tools.envs --fix

pictures: $(VENV)/dev.stamp ## the README's pictures, of results/report.html (needs Chromium)
	$(ACTIVATE) PYTHONPATH=tests:scripts python tests/browser/pictures.py results/report.html docs

clean: ## remove the environment and caches; results stay
	rm -rf $(VENV) tests/browser/node_modules .mypy_cache .pytest_cache .ruff_cache

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "asrmeter needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/%.stamp: requirements/%.lock | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --disable-pip-version-check --progress-bar off --requirement $<
	touch $@

$(VENV)/axe.stamp: tests/browser/package-lock.json | $(VENV)/bin/python
	npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund
	touch $@
