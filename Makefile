# `make run` makes a report and `make test` runs the tests. Both set everything up first.

PYTHON ?= python3
CORES ?= all
# Another study: make run STUDY=studies/mine.yaml
STUDY ?=
# All that pip and Snakemake say: make run VERBOSE=1
VERBOSE ?=
# A finished run under a name: make keep NAME=before
NAME ?=
RESULTS ?= results

VENV := .venv
ACTIVATE := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
QUIET := $(if $(VERBOSE),,@)
# Snakemake finds the logger plugin in scripts/.
SNAKEMAKE := $(if $(VERBOSE),,PYTHONPATH="$(CURDIR)/scripts$${PYTHONPATH:+:$$PYTHONPATH}") snakemake \
	$(if $(VERBOSE),,--logger asrmeter)
COMPILE := $(ACTIVATE) pip-compile --quiet --strip-extras --allow-unsafe --no-header --annotation-style=line \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options

.PHONY: run runtimes keep share slurm test check lint lint-types lint-tests lint-style lint-workflow format schema columns docs lock pictures clean help

run: $(VENV)/run.stamp ## set up, run the study, write results/report.html
	$(if $(STUDY),$(QUIET)$(ACTIVATE) python scripts/check_study.py $(STUDY))
	$(QUIET)$(ACTIVATE) $(SNAKEMAKE) --cores $(CORES) --resources gpu=1 $(if $(STUDY),--configfile $(STUDY))

runtimes: $(VENV)/run.stamp $(VENV)/runtimes.stamp ## set up every optional runtime: ONNX Runtime, OpenVINO, whisper.cpp, faster-whisper, torchao

keep: $(VENV)/run.stamp ## copy the run in results/ to runs/NAME for a later comparison
	$(ACTIVATE) python scripts/runs.py keep '$(NAME)' '$(RESULTS)'

share: $(VENV)/run.stamp ## pack report and tables for others into results/share.zip, without what the study withholds
	$(ACTIVATE) python scripts/share.py '$(RESULTS)'

slurm: $(VENV)/run.stamp $(VENV)/slurm.stamp ## install the additional packages for profiles/slurm

test: $(VENV)/dev.stamp $(VENV)/axe.stamp ## set up and run all tests (needs Chromium and npm; SLURM's tests need its packages and root)
# Three groups of tests run at a time, the long ones first (the longest mostly waits for SLURM). Tests that measure with
# every core follow one after another. Each process has one thread, because several programs with as many threads as cores
# would wait for one another.
	$(ACTIVATE) OMP_NUM_THREADS=1 pytest -m "not alone" --numprocesses 3 --dist loadscope --no-loadscope-reorder
	$(ACTIVATE) pytest -m alone $$(grep -rl --include="test_*.py" "mark\.alone" tests)

check: lint ## lint and run the unit tests before a commit, in some six minutes on two cores
	$(ACTIVATE) OMP_NUM_THREADS=1 pytest tests/unit -m "not simulation" --numprocesses 2 --dist loadscope --quiet

lint: $(VENV)/dev.stamp ## check style, types, imports between rooms, the workflow and links
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint-types lint-tests lint-style lint-workflow docs

lint-types:
	$(ACTIVATE) mypy

lint-tests:
	$(ACTIVATE) mypy --config-file tests/mypy.ini tests

lint-style:
	$(ACTIVATE) ruff check .
	$(ACTIVATE) ruff format --check .
	$(ACTIVATE) codespell
	$(ACTIVATE) codespell --check-hidden .github
	$(ACTIVATE) PYTHONPATH=scripts lint-imports

lint-workflow:
	$(ACTIVATE) snakefmt --check Snakefile rules
	$(ACTIVATE) snakemake --lint

format: $(VENV)/dev.stamp ## format the code
	$(ACTIVATE) ruff check --fix .
	$(ACTIVATE) ruff format .
	$(ACTIVATE) snakefmt Snakefile rules

schema: $(VENV)/dev.stamp ## write schemas/study.schema.json and the options in docs/variants.md from the types in the code
	$(ACTIVATE) PYTHONPATH=tests:scripts python -m tools.schema --fix
	$(ACTIVATE) PYTHONPATH=tests:scripts python -m tools.variants --fix

columns: $(VENV)/dev.stamp ## write docs/columns.md from the column descriptions of all tables
	$(ACTIVATE) PYTHONPATH=tests:scripts python -m tools.columns --fix

docs: $(VENV)/dev.stamp ## build the documentation as a site in site/; a dead link is an error
# Not --quiet: MkDocs would not count warnings then, and let dead links pass.
	$(ACTIVATE) NO_MKDOCS_2_WARNING=1 mkdocs build

lock: $(VENV)/dev.stamp ## resolve all versions again: requirements/*.lock and envs/*.yaml
	cd requirements && $(COMPILE) --output-file run.lock run.in
	cd requirements && $(COMPILE) --constraint run.lock --output-file runtimes.lock runtimes.in
	cd requirements && $(COMPILE) --constraint run.lock --constraint runtimes.lock --output-file dev.lock dev.in
	cd requirements && $(COMPILE) --constraint run.lock --output-file slurm.lock slurm.in
# A local label such as +cpu names one build of torch. The version applies to all builds.
	sed -i 's/^\(torch==[0-9.]*\)+[a-z0-9]*/\1/' requirements/run.lock requirements/runtimes.lock requirements/dev.lock
	$(ACTIVATE) PYTHONPATH=tests:scripts python -m tools.envs --fix

pictures: $(VENV)/dev.stamp ## make the pictures of the documentation from the runs that docs/gallery.md names (needs Chromium)
	$(ACTIVATE) PYTHONPATH=tests:scripts python tests/browser/pictures.py . docs

clean: ## remove the environment and caches, but keep results
	rm -rf $(VENV) tests/browser/node_modules site .mypy_cache .pytest_cache .ruff_cache

help: ## print this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "asrmeter needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(QUIET)$(PYTHON) -m venv $(VENV)

$(VENV)/%.stamp: requirements/%.lock | $(VENV)/bin/python
	@echo "Installing $$(grep -c == $<) packages into $(VENV) ($<). The first time takes minutes: PyTorch with CUDA is gigabytes."
	$(QUIET)$(VENV)/bin/python -m pip install --disable-pip-version-check --progress-bar off $(if $(VERBOSE),,--quiet --quiet) \
		--requirement $<
	@touch $@

$(VENV)/axe.stamp: tests/browser/package-lock.json | $(VENV)/bin/python
	npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund
	touch $@
