# `make` lists the targets. Works with GNU make >= 3.81, needs no root, changes nothing outside this folder.

PYTHON ?= python3
INTERPRETER ?= cpython
ARGS ?=
FIRMWARE ?=

VENV_PYTHON := .venv/bin/python
PIP_INSTALL := $(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check --no-input

# A .venv whose Python has gone (system upgrade, copied from another machine) is made anew.
ifneq ($(wildcard .venv),)
ifneq ($(shell $(VENV_PYTHON) -c "print(1)" 2>/dev/null),1)
$(shell rm -rf .venv)
endif
endif

.PHONY: help demo test storm soak fuzz bench bench-mcu doctor flash deploy provision monitor selftest size mpy venv clean

help:
	@echo "make demo    hold a conversation: simulated speaker, emulated cloud, no hardware, no key"
	@echo "             INTERPRETER=micropython runs the speaker's code on a real MicroPython"
	@echo "make test    all tests, on CPython and on MicroPython (64-bit and 32-bit)"
	@echo "             ARGS='-k ring' picks some; ALLOW_NO_MPY=1 where no MicroPython can be had"
	@echo "make storm   eight simulated hours of every fault on every core; ARGS='--seed 7' for others"
	@echo "make soak    1000 turns on a real MicroPython over TLS: 9 minutes"
	@echo "make fuzz    look for inputs that break a parser, a minute each"
	@echo "make bench   what 20 ms of sound cost, in what heap a conversation fits, how long a person waits; 3 minutes"
	@echo "make bench-mcu FIRMWARE=path/to/firmware.elf   instructions on a 32-bit microcontroller, in QEMU;"
	@echo "             ARGS=--help says where the firmware comes from"
	@echo "make doctor, flash, deploy, provision, monitor, selftest: a connected board; ARGS='--port /dev/ttyACM0'"
	@echo "             make flash ARGS=~/Downloads names the image too"
	@echo "make size    compile every device file for the ESP32-S3 and print its size"
	@echo "make mpy     get the MicroPython interpreters now"
	@echo "make venv    all Python packages into .venv; PYTHON=python3.12 picks the Python"
	@echo "make clean   remove everything that these targets made"
	@echo
	@echo "python -m tools --help lists the tools themselves, for boards as well as for this computer."

demo: .venv/.installed
	$(VENV_PYTHON) -m tools demo --interpreter $(INTERPRETER) $(ARGS)

test: .venv/.installed-dev
	@echo "== MicroPython, 64-bit and 32-bit"
	@$(VENV_PYTHON) -m tools mpy --bits all || [ "$$ALLOW_NO_MPY" = 1 ]
	@$(VENV_PYTHON) tests/run.py $(ARGS)

storm: .venv/.installed-dev
	$(VENV_PYTHON) -m tools storm --hours 8 $(ARGS)

soak: .venv/.installed-dev
	@$(VENV_PYTHON) -m tools mpy --bits all
	$(VENV_PYTHON) -m tools soak $(ARGS)

fuzz: .venv/.installed-dev
	$(VENV_PYTHON) -m tools.fuzz $(ARGS)

doctor flash deploy provision monitor selftest: .venv/.installed
	$(VENV_PYTHON) -m tools $@ $(ARGS)

bench: .venv/.installed-dev
	@$(VENV_PYTHON) -m tools mpy --bits all
	$(VENV_PYTHON) -m tools bench $(ARGS)

bench-mcu: .venv/.installed-dev
	$(VENV_PYTHON) -m tools.bench.mcu --firmware "$(FIRMWARE)" $(ARGS)

size: .venv/.installed-dev
	$(VENV_PYTHON) -m tools size $(ARGS)

mpy: .venv/.installed
	$(VENV_PYTHON) -m tools mpy --bits all

venv: .venv/.installed-dev

clean:
	rm -rf .venv .cache runs .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are written last: an interrupted installation is taken up again, not taken for a whole one.
.venv/.installed: requirements.txt
	@$(PYTHON) -c "" 2>/dev/null || { \
	  echo "No '$(PYTHON)' here: install Python 3.10 or later, or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10))" || { \
	  echo "Python 3.10 or later is needed; '$(PYTHON)' is `$(PYTHON) --version 2>&1`. Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || { \
	  echo "This Python cannot make virtual environments. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	@echo "== Python packages into .venv (once, about half a minute)"
	@$(VENV_PYTHON) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(PIP_INSTALL) -r requirements.txt || { \
	  echo "The packages of requirements.txt could not be installed; pip says why above." >&2; exit 1; }
	@touch $@

.venv/.installed-dev: requirements-dev.txt .venv/.installed
	@echo "== Python packages for the tests into .venv (once)"
	@$(PIP_INSTALL) -r requirements-dev.txt || { \
	  echo "The packages of requirements-dev.txt could not be installed; pip says why above." >&2; exit 1; }
	@touch $@
