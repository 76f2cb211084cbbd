# Every target works as the first command in a fresh clone: it makes .venv when that is missing.
#   make setup PYTHON=/path/to/python3.11    choose the interpreter .venv is made with
#   make test WORKERS=4                      test processes at a time

VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.setup-done
PYTHON ?=
WORKERS ?= 2

# Whatever environment the user has activated, only .venv counts here.
unexport PYTHONHOME PYTHONPATH PIP_PREFIX PIP_TARGET PIP_USER VIRTUAL_ENV
export PYTHONNOUSERSITE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow notebooks docs check lint types imports format lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: $(STAMP) ## make .venv with the exact versions of requirements.lock

demo: setup ## fine-tune on the built-in demo set, export a version and ask it
	$(RUN) -m team5.cli.demo

test: setup ## run the tests that are quick
	$(RUN) -m pytest -m "not slow" -n $(WORKERS) --dist worksteal

# Exit code 5 says that no test is marked slow, which is no failure.
test-slow: setup ## run the tests that are slow
	$(RUN) -m pytest -m slow || [ $$? -eq 5 ]

notebooks: setup ## run every notebook from start to end
	@if ls notebooks/*.ipynb >/dev/null 2>&1; then \
	    $(RUN) -m pytest --nbmake --nbmake-timeout=180 notebooks; \
	else echo "notebooks/ holds no notebook"; fi

docs: setup ## build the documentation into outputs/site, without any network
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet
	@echo "Open outputs/site/index.html"

check: lint types imports ## run ruff, mypy and import-linter

lint: setup
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: setup
	$(RUN) -m mypy

imports: setup
	$(VENV)/bin/lint-imports --no-logo

format: setup ## let ruff mend and format the code
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

# uv resolves for every platform at once. torch itself pins its CUDA packages, and a CPU build
# of it needs none, so these are left to torch.
lock: ## resolve requirements.lock anew, keeping its versions where they still fit (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	uv pip compile --quiet --universal --python-version 3.11 --extra dev \
	    --annotation-style line --no-header pyproject.toml -o requirements.lock
	@{ echo "# Exact versions of everything team5 and its tools need, for every platform; made by 'make lock'."; \
	   grep -v -E '^(#|cuda-|nvidia-|triton)' requirements.lock; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock

clean: ## remove caches and build leftovers; .venv, checkpoints/ and outputs/ stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The stamp names the folder it was made in: a clone that was moved, or whose Python is gone,
# is set up anew.
ifneq ($(shell test -x $(RUN) && cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

USABLE := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))

$(STAMP): requirements.lock pyproject.toml
	@set -e; \
	made_in=$$(cat $(STAMP) 2>/dev/null || true); rm -f $(STAMP); \
	if ! $(RUN) -c '$(USABLE)' 2>/dev/null || [ "$${made_in:-$(CURDIR)}" != "$(CURDIR)" ]; then \
	    python=; \
	    for name in $(if $(PYTHON),"$(PYTHON)",python3.11 python3.12 python3.13 python3.14 python3 python); do \
	        if "$$name" -c '$(USABLE)' >/dev/null 2>&1; then python=$$name; break; fi; \
	    done; \
	    if [ -z "$$python" ]; then \
	        echo "make setup: found no Python 3.11 to 3.14 that can make virtual environments$(if $(PYTHON), ($(PYTHON) cannot))." >&2; \
	        echo "Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv), or name it: make setup PYTHON=/path/to/python3.11" >&2; \
	        exit 1; \
	    fi; \
	    echo "Making $(VENV) with $$("$$python" -c 'import sys; print(sys.executable, sys.version.split()[0])')"; \
	    "$$python" -m venv --clear $(VENV); \
	fi
	$(RUN) -m pip install -r requirements.lock
	$(RUN) -m pip install --quiet --no-deps --no-build-isolation -e .
	@echo "Compiling the fragment enumeration once ..."
	@$(RUN) -m team5.inference.warm_up
	@printf '%s' "$(CURDIR)" > $(STAMP)
	@echo "Done. Next: make demo"
