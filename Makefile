# Two commands on a fresh machine with Python 3.11 and git: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP_QUIET = --quiet --disable-pip-version-check
NEW_PIP = install $(PIP_QUIET) --no-compile --require-hashes -r requirements-pip.lock
RUN = .venv/bin/python
PYTEST = $(RUN) -m pytest -n auto
# In CI there is no next time.
MYPY_CACHE = $(if $(CI),--cache-dir=/dev/null)
TESTS = $(shell find tests -name '*.py')
# Without cached bytecode, half of the time to start is compiling.
export PYTHONDONTWRITEBYTECODE =
UNCOMPILED = pip|setuptools|mypyc?|playwright/sync_api|pyasn1_modules

# What failed to be installed is tried again.
.DELETE_ON_ERROR:
.PHONY: demo test linted tested test-pds lint bench soak nightly catalogues vendor pictures clean

demo: .venv/run
	$(RUN) -m bridge demo $(ARGS)

# Both in parallel, since mypy uses one processor. Errors are printed as soon as they are found.
test: .venv/dev
	$(MAKE) --no-print-directory -j 2 linted tested

linted: .venv/dev
	@$(MAKE) --no-print-directory lint > .venv/lint.log 2>&1 || { cat .venv/lint.log; exit 1; }

tested: .venv/compiled
	$(PYTEST) $(ARGS)

# Tests, with the assertions that pytest rewrites: otherwise all its processes would at the same time.
.venv/compiled: .venv/dev $(TESTS)
	@$(RUN) -m tools.compiled > $@.log 2>&1 || { cat $@.log; exit 1; }
	@touch $@

lint: .venv/dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy $(MYPY_CACHE)

bench: .venv/dev
	$(RUN) -m benchmarks $(ARGS)

# Long runs of what `make test` does in a few rounds: kills, power cuts, matrices, random examples.
# All programs start cold; in `make test` most are forks of one that has imported them.
soak: .venv/dev
	BRIDGE_SOAK=1 $(PYTEST) $(ARGS)

# Tests that first install packages for minutes.
nightly: .venv/dev
	BRIDGE_NIGHTLY=1 $(PYTEST) -m nightly $(ARGS)

# Copies at a real Bluesky server, which the first run installs for minutes (Node.js 20, npm, g++, make).
test-pds: .venv/dev
	BRIDGE_NIGHTLY=1 $(RUN) -m pytest -m pds tests/syndication $(ARGS)

# Updates the catalogues of translations with new messages, and compiles them.
catalogues: .venv/dev
	$(RUN) -m tools.catalogues

# Bundles the JavaScript libraries of the owner's pages (needs Node.js with npm).
vendor: .venv/dev
	$(RUN) -m tools.vendored

# Makes the pictures of README.md from a demo (needs Debian's chromium).
pictures: .venv/dev
	$(RUN) docs/pictures/make.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache

# Locked versions, checked by hash: new releases cannot break an installation. The locks are complete, and
# pip does not resolve versions: Pelican 4.12 requires Pygments below 2.20, whose lexer for ADL can be kept
# busy for hours (CVE-2026-4539).
# The pip that comes with Python 3.11 takes twice as long: it compares each file of a package's page with each
# platform that this machine could run. To install that first takes seconds, too, unless Python has none.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python'; exit 1; }
	$(PYTHON) -m venv --without-pip .venv
	@$(PYTHON) -m pip --python .venv/bin/python $(NEW_PIP) 2>/dev/null || \
	    { $(PYTHON) -m venv .venv && $(RUN) -m pip $(NEW_PIP); }

.venv/run: requirements.lock | .venv/bin/python
	$(RUN) -m pip install $(PIP_QUIET) --require-hashes --no-deps -r requirements.lock
	touch $@

# pip downloads, unpacks and compiles one file after the other. Here two of it install half of the packages each,
# all processors compile, and leave out what no test imports.
.venv/dev: requirements-dev.lock | .venv/bin/python
	@$(MAKE) --no-print-directory -j 2 .venv/half-0.lock .venv/half-1.lock
	@$(RUN) -m compileall -qq -j 0 -x '/($(UNCOMPILED))/' .venv/lib || true
	touch $@ .venv/run

.venv/half-%.lock: requirements-dev.lock
	@awk '/^[^ ]/ { count++ } count % 2 == $*' $< > $@
	$(RUN) -m pip install $(PIP_QUIET) --no-compile --require-hashes --no-deps -r $@
