# What a contributor runs. `make demo` and `make test` install what they need, once.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export YARN_ENABLE_GLOBAL_CACHE := 1
PY := .venv/bin/python
# The same on every machine: no configuration of the user's takes part.
TEST := env -u JUPYTER_PATH -u JUPYTER_CONFIG_PATH $(PY) -m pytest
ARGS ?=

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: prepare-demo ## a notebook pod on this machine, in JupyterLab (ARGS="--no-browser --port 8890")
	@.venv/bin/jupyter kfsecrets demo $(ARGS)

.PHONY: test
test: prepare-test static front-end docs platform ## everything: style, types, floors, front end, docs, all tests
	$(TEST) -n 2 --dist loadfile $(ARGS)

.PHONY: check
check: prepare-check static ## the quick loop: style, types, floors, fast tests (about a minute)
	$(TEST) -q -n 2 --dist loadfile -m "not slow" $(ARGS)

.PHONY: bench
bench: prepare-test platform ## the figures, each a ratio against a named peer in the same run
	@for figure in $(filter-out bench/figures.py bench/__main__.py,$(wildcard bench/*.py)); do \
		echo "── $$figure"; PYTHONPATH=tests $(PY) "$$figure" $(ARGS); \
	done

.PHONY: mutation
mutation: prepare-check ## how many small changes of the redactor turn a test red (ARGS="--count 300")
	.venv/bin/uv pip install --quiet --group mutation
	$(PY) scripts/mutation.py $(ARGS)

.PHONY: screenshot
screenshot: prepare-test platform ## the pictures in docs/, taken from the demo
	PYTHONPATH=tests $(PY) -m browser.screenshot $(ARGS)

.PHONY: wheel
wheel: prepare-demo ## dist/*.whl and dist/*.tar.gz
	rm -rf dist
	$(PY) -m hatchling build

.PHONY: docs
docs: prepare-check ## the site, in site/
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

.PHONY: fix
fix: prepare-check ## format, and mend what the linters can mend
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

.PHONY: lock
lock: prepare-check ## pin the newest allowed versions anew in requirements/dev.txt
	.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 \
		--extra demo --group dev pyproject.toml \
		--no-emit-index-url --no-header --no-annotate --output-file requirements/dev.txt

.PHONY: clean
clean: ## remove what was built and installed here
	rm -rf .venv .cache dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache kfsecrets_ext/labextension labextension/node_modules \
		labextension/lib labextension/coverage labextension/tsconfig.tsbuildinfo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ── parts of the above ───────────────────────────────────────────────────────

.PHONY: prepare-demo prepare-check prepare-test
prepare-demo prepare-check prepare-test: prepare-%:
	@python="$$(scripts/find-python)" && "$$python" scripts/prepare.py $*

.PHONY: static
static:
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

.PHONY: front-end
front-end:
	cd labextension && jlpm lint:check && jlpm test

# The programs of the platform that the tests talk to; built once, kept outside the checkout.
.PHONY: platform
platform:
	PYTHONPATH=tests $(PY) -m rig.binaries
