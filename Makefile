# Everything a clone needs, from nothing but Python 3.10 to 3.13: `make help`.

PYTHON ?= python3
DEMO_OUTPUT ?= runs/demo
REPETITIONS ?= 100
MODEL ?= process
MINUTES ?= 30
ROBOTS ?= 8
RUNS ?= 100000
# A sourced ROS distribution would mix its Python packages and libraries with those of the environments made here.
NO_ROS = env -u PYTHONPATH -u LD_LIBRARY_PATH -u AMENT_PREFIX_PATH -u RMW_IMPLEMENTATION
PIP_INSTALL = -m pip install --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup test test-ros test-core lint format demo bench faults soak fuzz guard clean

help: ## show this
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/stamp ## make .venv with everything to train, simulate, run and test

ROS_TESTS = test/ros test/faults

test: setup lint ## lint, then run all tests
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-ros test-core

test-ros:
	$(NO_ROS) .venv/bin/python -m pytest $(ROS_TESTS)

test-core: # beside those of ROS, which wait more than they work, and whose times count
	$(NO_ROS) nice -n 19 .venv/bin/python -m pytest $(addprefix --ignore=,$(ROS_TESTS))

lint: setup ## ruff, mypy and the import rules
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

fuzz: setup ## spoil files and messages in 210,000 ways; writes docs/results/fuzz.json and its section of runtime.md
	$(NO_ROS) ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST PYTHONPATH=.:test .venv/bin/python test/fuzz/run.py

guard: .venv/stamp ## drive RUNS times at random under the scan guard, and see that nothing is touched (100000: an hour)
	OPENBLAS_NUM_THREADS=1 $(RUN_TEST_MODULE) guard --runs $(RUNS)

format: setup ## format the code and mend what ruff can
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

demo: .venv-demo/stamp ## six robots cross an arena for 60 s over ROS topics (needs no torch)
	$(NO_ROS) ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST \
	  .venv-demo/bin/kdmarl-swarm config/swarms/crossing.yaml --duration 60 --lockstep --output $(DEMO_OUTPUT)

RUN_TEST_MODULE = $(NO_ROS) PYTHONPATH=test .venv/bin/python -m

faults: .venv/stamp ## break ROBOTS robots in every way, REPETITIONS times each, and time their stops (8, 100: 15 min)
	$(RUN_TEST_MODULE) faults --repetitions $(REPETITIONS) --model $(MODEL) --robots $(ROBOTS)

soak: .venv/stamp ## break ROBOTS robots at random for MINUTES, and judge their every command (8, 30)
	$(RUN_TEST_MODULE) faults.soak --robots $(ROBOTS) --minutes $(MINUTES) --model $(MODEL)

bench: .venv-demo/stamp ## what policy nodes cost: docs/results/bench.json and runtime.md (an hour)
	$(NO_ROS) ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET FASTDDS_DEFAULT_PROFILES_FILE=test/loopback.xml \
	  .venv-demo/bin/kdmarl-swarm bench config/swarms/crossing.yaml --robots 1,4,16,32 --simulate 60,60,300,60 --output docs/results/bench.json

clean: ## remove what the other targets made
	rm -rf .venv .venv-demo build install log dist *.egg-info .mypy_cache .ruff_cache .pytest_cache \
	  .import_linter_cache .hypothesis

.venv/stamp: EXTRAS = ros,sim,train,smax,dev
.venv-demo/stamp: EXTRAS = ros,sim
.venv/stamp .venv-demo/stamp: setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "'$(PYTHON)' is no Python 3.10 or newer; name one: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(@D)
	$(NO_ROS) $(@D)/bin/python $(PIP_INSTALL) --editable '.[$(EXTRAS)]'
	@touch $@
