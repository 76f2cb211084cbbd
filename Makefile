# Every target works as the first command in a fresh clone: it makes .venv when that is missing.
#   make setup PYTHON=/path/to/python3.11    choose the interpreter .venv is made with
#   make test WORKERS=4                      test processes at a time
#   make mutants ONLY="team5.evaluation.*"   some of the rule modules

VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.setup-done
PYTHON ?=
WORKERS ?= 2
ONLY ?=

# Whatever environment the user has activated, only .venv counts here.
unexport PYTHONHOME PYTHONPATH PIP_PREFIX PIP_TARGET PIP_USER VIRTUAL_ENV
export PYTHONNOUSERSITE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow mutants notebooks docs check lint types imports format lock clean

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

# Hours on two cores for all rule modules; the survivors of those that ran are listed at the end.
mutants: setup ## change the rules that decide answers line by line and see the tests fail
	OMP_NUM_THREADS=1 $(VENV)/bin/mutmut run --max-children $(WORKERS) $(foreach names,$(ONLY),'$(names)')
	@$(VENV)/bin/mutmut results | grep -v ': not checked$$' || true

notebooks: setup ## run every notebook from start to end
	@if ls notebooks/*.ipynb >/dev/null 2>&1; then \
	    $(RUN) -m pytest --nbmake --nbmake-timeout=180 notebooks; \
	else echo "notebooks/ holds no notebook"; fi

docs: setup ## build the documentation into outputs/site, without any network
	$(RUN) docs/build_site.py

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

# uv resolves for every platform at once. The CUDA packages that torch itself pins are left to
# it, as a CPU build needs none; the hashes of such builds, which lie on PyTorch's own index, are
# those of .ci/torch-cpu.sha256.
UV_COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header
LOCKS := requirements.lock requirements-serve.lock
DEV_EXTRAS := matchms ray remote serve slurm sweep viz

lock: ## resolve requirements.lock and pylock.toml anew, keeping versions that still fit (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	$(UV_COMPILE) $(addprefix --extra ,$(DEV_EXTRAS)) --group dev pyproject.toml -o requirements.lock
	$(UV_COMPILE) --extra serve --constraint requirements.lock pyproject.toml -o requirements-serve.lock
	$(UV_COMPILE) --format pylock.toml --extra serve --extra viz --constraint requirements.lock pyproject.toml -o pylock.toml
	@for lock in $(LOCKS); do \
	    { echo "# Exact versions and hashes, for every platform, made by 'make lock'; -serve is what a server needs."; \
	      awk '/^[a-z]/ {left_out = /^(cuda-|nvidia-|triton)/} /^#/ || left_out {next} {print} \
	           /^torch==/ {while ((getline line < ".ci/torch-cpu.sha256") > 0) {split(line, part); \
	               if (index(part[2], "torch-" substr($$1, 8) "+cpu")) print "    --hash=sha256:" part[1] " \\"}}' \
	          $$lock; } > $$lock.new && mv $$lock.new $$lock; \
	done

clean: ## remove caches and build leftovers; .venv, checkpoints/ and outputs/ stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist mutants *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The stamp names the folder it was made in: a clone that was moved, or whose Python is gone,
# is set up anew.
ifneq ($(shell test -x $(RUN) && cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

USABLE := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))

# torch comes first: which build of it (CPU, CUDA) depends on the indexes of this machine, and pip would
# prefer that of PyPI where hashes are required. Its hash is compared here.
$(STAMP): requirements.lock pyproject.toml
	@made_in=$$(cat $(STAMP) 2>/dev/null); foreign=; \
	if [ "$$made_in" = "$(CURDIR)" ]; then :; \
	elif [ -L $(VENV) ]; then foreign="a link to $$(readlink $(VENV))"; \
	elif [ -n "$$made_in" ] && [ -e "$$made_in" ]; then foreign="that of $$made_in"; \
	elif [ -z "$$made_in" ] && [ -e $(VENV) ] && ! $(RUN) -c '$(USABLE)' 2>/dev/null; then \
	    foreign="not of make setup, and without a Python 3.11 to 3.14"; \
	fi; \
	if [ -n "$$foreign" ]; then \
	    echo "make setup: $(VENV) is $$foreign; it is left as it is." >&2; \
	    echo "Move it away (mv $(VENV) ELSEWHERE) and run make setup again, or do without make: source $(VENV)/bin/activate" >&2; \
	    exit 1; \
	fi
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
	@set -e; dir=$(VENV)/torch; rm -rf $$dir; \
	$(RUN) -m pip download --quiet --no-deps --dest $$dir "$$(grep -o '^torch==[^ ]*' requirements.lock)"; \
	for wheel in $$dir/*.whl; do \
	    hash=$$($(RUN) -m pip hash "$$wheel" | grep -o 'sha256:[0-9a-f]*'); \
	    grep -q -- "$$hash" requirements.lock || { echo "make setup: $$wheel is none of requirements.lock ($$hash)." >&2; exit 1; }; \
	    $(RUN) -m pip install --quiet --no-deps "$$wheel"; \
	done; rm -rf $$dir
	$(RUN) -m pip install --require-hashes --no-deps -r requirements.lock
	$(RUN) -m pip install --quiet --no-build-isolation -e .
	@echo "Compiling the fragment enumeration once ..."
	@$(RUN) -m team5.inference.warm_up
	@# A clone's own tracker is no change to it: docs/versions.md.
	@git update-index --skip-worktree checkpoints/checkpoint_tracker.json 2>/dev/null || true
	@printf '%s' "$(CURDIR)" > $(STAMP)
	@echo "Done. Next: make demo"
