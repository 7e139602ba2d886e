# Every target does the set-up that it needs, once; `make` alone says what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-dev
SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help lab test test-plain check bench bench-dns bench-pieces bench-frame bench-formats bench-formats-large bench-analysis demo fuzz drill build clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

# Rebuilt only when the list of dependencies changes; the package itself is installed editable.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "dnsnb needs Python 3.11 or newer; give one by: make PYTHON=/path/to/python3.12 ..."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

lab: $(READY)  ## set up and open JupyterLab on the quickstart
	$(BIN)/dnsnb lab

# two processes, a file in one of them; what drives a browser comes at the end, alone
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

test: $(READY)  ## run the tests
	$(PYTEST)

types: $(READY)  ## hold the types of the public names (pyright --verifytypes)
	$(BIN)/python tests/public_types.py

check: $(READY)  ## the one gate: ruff, format, types, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/public_types.py
	$(PYTEST)

test-plain: $(READY)  ## run the tests with every fast path off: the same results
	DNSNB_PLAIN=1 $(PYTEST)

drill: $(READY)  ## kill -9 a server that writes, 50 times over; flood the view; 50 stalled readers for a minute; 70,000 in flight; a million rules under load
	DRILL=50 $(BIN)/python -m pytest -q tests/server/test_kill.py
	DRILL=1 $(BIN)/python -m pytest -q -s tests/browser/test_lab.py -k twenty_thousand
	DRILL=1 $(BIN)/python -m pytest -q -s tests/flows/test_stalled_readers.py
	DRILL=1 $(BIN)/python -m pytest -q tests/server/test_behaviours_kept.py tests/server/test_behaviours_policy.py -k "in_flight or large_list"

demo: $(READY)  ## the main job in a terminal: SECONDS=60 of traffic, a live summary, the frame
	$(BIN)/dnsnb demo --seconds $(SECONDS)

bench: bench-dns bench-frame bench-formats bench-analysis  ## measure side by side with the peers from Debian (apt-get install dnsperf dnsmasq-base unbound)

bench-dns: $(READY)
	$(BIN)/python tests/bench/dns.py --rounds 5 --seconds 2.5 --markdown tests/bench/RESULTS.md

bench-pieces: $(READY)
	$(BIN)/python -m pytest -q tests/bench/test_pieces.py tests/bench/test_stream.py --benchmark-enable \
		--benchmark-columns=median,iqr,ops --benchmark-sort=name

bench-frame: $(READY)  ## from the question to the row in the frame: rate, delay, memory, stream; about four minutes
	$(BIN)/python tests/bench/frame.py --markdown tests/bench/RESULTS.md

bench-formats: $(READY)
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps zat dpkt
	$(BIN)/python tests/bench/formats.py --markdown tests/bench/RESULTS.md

bench-formats-large: $(READY)  ## convert two logs of 5 GB in a stream: rate and memory; ten minutes and 7 GB of disk
	$(BIN)/python tests/bench/large.py --markdown tests/bench/RESULTS.md

bench-analysis: $(READY)
	$(BIN)/python tests/bench/analysis.py --markdown tests/bench/RESULTS.md

build: $(READY)  ## make the wheel and the sdist in dist/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	$(BIN)/python -m build

clean:  ## remove what the other targets made
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks

fuzz: $(READY)  ## a million mutated DNS messages to each side: nothing escapes, nothing grows
	$(BIN)/python tests/fuzz/messages.py 1000000

picture: $(READY)  ## renew the README's picture of the dashboard
	$(BIN)/python tests/browser/picture.py
