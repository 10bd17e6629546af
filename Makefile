# What a newcomer needs, in two commands:  make demo  and  make test.
# Both make their own virtual environment in .venv and install into it, once; both say what they
# do. `make help` lists the rest. Needs GNU make and Python 3.11 or newer, nothing else.

PYTHON ?= python3
VENV ?= .venv
# Options of the demo (make demo ARGS=--once), and how many tests run side by side.
ARGS ?=
JOBS ?= 2
# With LOCK=requirements/ci.txt, as in continuous integration, exactly these versions are installed,
# each only if its hash is right; without, the newest that the bounds in pyproject.toml allow.
LOCK ?=
# uv, which makes the lock and finds the lowest versions, and pip-audit: never among our own.
TOOLS ?= .venv-tools

bin := $(VENV)/bin
pip := $(bin)/python -m pip install --disable-pip-version-check --quiet
say = @printf '==> %s\n'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo console test lint types layers tests long fuzz docs faults soak bench lock newest lowest audit clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.viewer  ## simulate a beamline, analyse it live, show it in a browser; Ctrl-C ends it
	$(say) 'Running the demo: a simulated beamline, analysed while it scans'
	@$(bin)/femto-bluesky demo $(ARGS)

console: $(VENV)/.console  ## open a simulated beamline in IPython
	@$(bin)/ipython --profile-dir=profiles/simulated

# One check after the other, the quick ones first, whatever -j says: the output stays readable.
test: $(VENV)/.full  ## run every check and every test, as the continuous integration does
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory layers
	@$(MAKE) --no-print-directory tests
	@$(MAKE) --no-print-directory docs
	$(say) 'Every check and test has passed'

lint: $(VENV)/.full  ## check style and formatting
	$(say) 'Checking style (ruff check)'
	@$(bin)/ruff check .
	$(say) 'Checking formatting (ruff format)'
	@$(bin)/ruff format --check .

types: $(VENV)/.full  ## check types
	$(say) 'Checking types (mypy --strict)'
	@$(bin)/mypy

layers: $(VENV)/.full  ## check that each wing imports only what lies below it
	$(say) 'Checking the layers of the package (import-linter)'
	@$(bin)/lint-imports --no-logo

tests: $(VENV)/.full  ## run the tests and the doctests
	$(say) 'Running tests and doctests (pytest, $(JOBS) at a time)'
	@$(bin)/python -m pytest -q -n $(JOBS) --dist worksteal --benchmark-disable $(ARGS)

long: $(VENV)/.full  ## run the proofs that take minutes, which `make test` leaves out
	$(say) 'Running the long proofs (pytest, $(JOBS) at a time)'
	@$(bin)/python -m pytest -q -n $(JOBS) --dist worksteal --benchmark-disable -m long tests $(ARGS)

faults: $(VENV)/.full  ## bring about each fault, and write what came of it into the table in docs/
	$(say) 'Bringing about faults (pytest); the table is in docs/explanations/faults.md'
	@$(bin)/python -m pytest -q -p no:xdist --benchmark-disable -m 'long or not long' --faults-table \
		tests/faults $(ARGS)

# atheris has no wheels for every Python and system, so it is not among what the tests need.
fuzz: $(VENV)-fuzz/.made  ## look for input that breaks something, a minute for each kind
	$(say) 'Fuzzing (atheris); findings and logs are in build/fuzz, what is new in tests/fuzz/corpus'
	@$(VENV)-fuzz/bin/python -m tests.fuzz $(ARGS)

soak: $(VENV)/.full  ## take frames at full rate while all goes wrong (make soak ARGS='--minutes 2')
	$(say) 'Soaking: frames at full rate for ten minutes while all goes wrong, then a clean replay'
	@$(bin)/python -m tests.soak $(ARGS)

docs: $(VENV)/.full  ## build the documentation into build/docs, running its tutorials
	$(say) 'Building the documentation and running its tutorials (sphinx-build)'
	@rm -rf docs/reference/generated
	@$(bin)/python -m sphinx -q -W --keep-going -j $(JOBS) -d build/doctrees -b html docs build/docs
	$(say) 'Documentation: build/docs/index.html'

bench: $(VENV)/.full  ## measure speed; each figure is a ratio to something measured beside it
	$(say) 'Measuring (pytest-benchmark)'
	@$(bin)/python -m pytest -q -p no:xdist --benchmark-only --benchmark-columns=median,iqr,rounds benchmarks $(ARGS)

lock: $(TOOLS)/.made  ## write requirements/ci.txt anew: the newest versions that the bounds allow
	$(say) 'Writing requirements/ci.txt (uv pip compile)'
	@$(TOOLS)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-annotate --custom-compile-command 'make lock' --extra test --extra docs --extra catalog \
		--output-file requirements/ci.txt pyproject.toml requirements/ci.in

# The oldest versions of others warn of what the newest ones of others have renamed. That is between
# them: what is asked here is whether our numbers and words are the same.
newest: $(TOOLS)/.made  ## run the tests with the newest versions that the bounds allow, in .venv-newest
lowest: $(TOOLS)/.made  ## run the tests with the lowest versions that the bounds allow, in .venv-lowest
newest lowest:
	$(say) 'Installing the $@ versions into $(VENV)-$@'
	@rm -rf $(VENV)-$@
	@$(PYTHON) -m venv $(VENV)-$@
	@$(TOOLS)/bin/uv pip install --quiet --python $(VENV)-$@/bin/python --upgrade \
		--resolution $(if $(filter lowest,$@),lowest-direct,highest) \
		--editable '.[test,docs,catalog,beamline]'
	$(say) 'Running tests and doctests with the $@ versions (pytest, $(JOBS) at a time)'
	@$(VENV)-$@/bin/python -m pytest -q -n $(JOBS) --dist worksteal --benchmark-disable \
		$(if $(filter lowest,$@),-W default::DeprecationWarning -W default::PendingDeprecationWarning) \
		$(ARGS)

audit: $(TOOLS)/.made  ## look the locked versions up in the database of vulnerabilities (asks pypi.org)
	$(say) 'Asking what is known against the versions of requirements/ci.txt (pip-audit)'
	@$(TOOLS)/bin/python .ci/audit.py requirements/ci.txt

clean:  ## delete what these commands have made, .venv too
	$(say) 'Deleting $(VENV) and its like, build and caches'
	@rm -rf $(VENV) $(VENV)-newest $(VENV)-lowest $(VENV)-fuzz $(TOOLS) build dist *.egg-info docs/reference/generated \
		.benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps. Each is newer than pyproject.toml once its installation has succeeded.
$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "There is no '$(PYTHON)' here. Install Python 3.11\
	 or newer, or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "femto_bluesky needs\
	 Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name a newer one:\
	 make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(say) 'Creating a virtual environment in $(VENV)'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "'$(PYTHON) -m venv' failed. On Debian and\
	 Ubuntu the package python3-venv brings what it lacks." >&2; exit 1; }

# With LOCK this is all there is to install, so the others find nothing left to do.
$(VENV)/.core: pyproject.toml $(LOCK) | $(VENV)/bin/python
	$(say) 'Installing femto_bluesky and what it needs into $(VENV) (about a minute the first time)'
	@$(if $(LOCK),$(pip) --require-hashes --requirement $(LOCK))
	@$(pip) $(if $(LOCK),--no-deps --no-build-isolation) --editable .
	@touch $@

$(VENV)/.viewer: $(VENV)/.core
	$(say) 'Installing what the page needs into $(VENV) (half a minute)'
	@$(if $(LOCK),,$(pip) --editable '.[viewer]')
	@touch $@

$(VENV)/.console: $(VENV)/.core
	$(say) 'Installing IPython, the catalog and the page into $(VENV) (about a minute)'
	@$(if $(LOCK),,$(pip) --editable '.[beamline,catalog,viewer]')
	@touch $@

$(VENV)/.full: $(VENV)/.core
	$(say) 'Installing the tools for tests and documentation into $(VENV) (about a minute as well)'
	@$(if $(LOCK),,$(pip) --editable '.[test,docs,catalog]')
	@touch $@

$(VENV)-fuzz/.made: pyproject.toml
	$(say) 'Installing femto_bluesky and atheris into $(VENV)-fuzz (about a minute the first time)'
	@$(PYTHON) -m venv $(VENV)-fuzz
	@$(VENV)-fuzz/bin/python -m pip install --disable-pip-version-check --quiet \
		'atheris>=3.0' --editable '.[viewer,kafka]'
	@touch $@

$(TOOLS)/.made:
	$(say) 'Installing uv and pip-audit into $(TOOLS)'
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --disable-pip-version-check --quiet 'uv>=0.9' 'pip-audit>=2.9'
	@touch $@
