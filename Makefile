# The front door; docs and CONTRIBUTING.md say more. Every target sets up what it needs.
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin

# An editable install does not show twisted/plugins: the checkout itself must be on the path.
export PYTHONPATH := $(CURDIR):$(CURDIR)/src
export PATH := $(BIN):$(PATH)
# Some environments say that Python is to keep nothing of what it compiles. The tests start
# hundreds of processes, and each would take half a second more.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help venv demo test test-slow boot-test check bench screenshots clean needs-gpg

help:
	@echo "make demo       the main job, without root, in build/demo (STAY=1 NETBOOT=1 SOURCE=URL ...)"
	@echo "make test       all tests but the long ones"
	@echo "make test-slow  the long ones (SHORT=1: fewer draws, three at a time, no figures)"
	@echo "make boot-test  a machine under QEMU boots what a rack got from a region"
	@echo "make check      lint, format, types, import rules, spelling"
	@echo "make bench      ratios against peers (QUICK=1: minutes)"
	@echo "make screenshots  pictures of each page, into docs/images (needs chromium)"
	@echo "make clean      remove what was built"

venv: .venv/.installed

.venv/.installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "make: $(PYTHON) is missing or older than 3.11; try make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "make: python3-venv is missing; try: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

needs-gpg:
	@command -v gpg >/dev/null || \
	  { echo "make: gpg is missing; try: apt-get install gnupg" >&2; exit 1; }

demo: venv needs-gpg
	$(BIN)/python bench/demo.py

test: venv needs-gpg
	$(BIN)/pytest -m "not slow" -n 3 --dist worksteal

test-slow: venv needs-gpg
	$(BIN)/pytest -m "slow and not boot" $(if $(SHORT),-n 3 --dist loadfile)

boot-test: venv needs-gpg
	@command -v qemu-system-x86_64 >/dev/null || \
	  echo "make: qemu-system-x86_64 is missing, so no machine boots; try: apt-get install qemu-system-x86 ipxe-qemu" >&2
	$(BIN)/pytest -m boot -rs

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

bench: venv needs-gpg
	$(BIN)/python bench/run.py

screenshots: venv needs-gpg
	@command -v chromium chromedriver >/dev/null || \
	  { echo "make: chromium is missing; try: apt-get install chromium chromium-driver" >&2; exit 1; }
	$(BIN)/python bench/pictures.py

clean:
	rm -rf .venv build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	  .import_linter_cache _trial_temp*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
