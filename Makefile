# Everything a clone needs, from nothing but Python 3.10 to 3.13: `make help`.

PYTHON ?= python3
DEMO_OUTPUT ?= runs/demo
REPETITIONS ?= 100
MODEL ?= process
MINUTES ?= 30
ROBOTS ?= 4
RUNS ?= 100000
# A sourced ROS distribution would mix its Python packages and libraries with those of the virtual environments.
NO_ROS = env -u PYTHONPATH -u LD_LIBRARY_PATH -u AMENT_PREFIX_PATH -u RMW_IMPLEMENTATION
# For speed: modules are compiled when first imported, and packages without a wheel are built with the installed
# setuptools.
PIP_INSTALL = -m pip install --disable-pip-version-check --no-compile --no-build-isolation
PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')

# Set-ups leave it to the first import to compile a module, and only one that is kept is compiled only once: without
# that, each process of the tests and of a swarm would compile all of its libraries.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup test lint format demo bench faults soak fuzz guard lock clean

help: ## show this
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/stamp ## make .venv with everything to train, simulate, run and test

test: setup lint ## lint, then run all tests
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target test-part-1 test-part-2 test-part-3 test-part-4

# All tests, in parts of similar duration. Those with ROS are mostly waiting and sensitive to timing; the others run at
# the lowest priority, and at most one of them at the same time as those.
PART_1 = test/faults $(addprefix test/ros/,bench check judge node record sim)
PART_2 = test/ros/robot test/ros/sensors test/ros/swarm
PART_3 = $(addprefix test/,cli benchmark distill experiment packaging planning)
PART_4 = test $(addprefix --ignore=,test/ros test/faults $(PART_3))
test-part-3 test-part-4: NICE = nice -n 19
test-part-%:
	$(NO_ROS) $(NICE) .venv/bin/python -m pytest $(PART_$*)

lint: setup ## ruff, mypy and the import rules
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

fuzz: setup ## fuzz files and messages with 210,000 cases; writes docs/results/fuzz.json and its section of runtime.md
	$(NO_ROS) ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST PYTHONPATH=.:test .venv/bin/python test/fuzz/run.py

guard: .venv/stamp ## check in RUNS random drives that nothing is touched under the scan guard (100000: an hour)
	OPENBLAS_NUM_THREADS=1 $(RUN_TEST_MODULE) guard --runs $(RUNS)

format: setup ## format the code and fix what ruff can
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

demo: .venv-demo/stamp ## six robots cross an arena for 60 s over ROS topics (needs no torch)
	$(NO_ROS) ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST \
	  .venv-demo/bin/kdmarl-swarm config/swarms/crossing.yaml --duration 60 --lockstep --output $(DEMO_OUTPUT)

RUN_TEST_MODULE = $(NO_ROS) PYTHONPATH=test .venv/bin/python -m

faults: .venv/stamp ## inject every fault into ROBOTS robots, REPETITIONS times each, and time their stops (4, 100: half an hour)
	$(RUN_TEST_MODULE) faults --repetitions $(REPETITIONS) --model $(MODEL) --robots $(ROBOTS)

soak: .venv/stamp ## inject random faults into ROBOTS robots for MINUTES, and check every command (4, 30)
	$(RUN_TEST_MODULE) faults.soak --robots $(ROBOTS) --minutes $(MINUTES) --model $(MODEL)

bench: .venv-demo/stamp ## measure what policy nodes cost; writes docs/results/bench.json and runtime.md (an hour)
	$(NO_ROS) ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET FASTDDS_DEFAULT_PROFILES_FILE=test/loopback.xml \
	  .venv-demo/bin/kdmarl-swarm bench config/swarms/crossing.yaml --robots 1,4,16,32 --simulate 60,60,300,60 --output docs/results/bench.json

lock: ## update locks/ from setup.py and constraints.txt (UPGRADE=--upgrade: to the newest versions these allow)
	$(PYTHON) -m venv .venv-lock
	$(NO_ROS) .venv-lock/bin/python $(PIP_INSTALL) --constraint constraints.txt uv
	mkdir -p locks
	for version in 3.10 3.11 3.12 3.13; do \
	  $(COMPILE) --all-extras --output-file locks/setup-$$version.txt && \
	  sed -i -E '/^(torch|triton|cuda-.*|nvidia-.*)==/d' locks/setup-$$version.txt && \
	  $(COMPILE) --extra ros --extra sim --constraint locks/setup-$$version.txt --output-file locks/demo-$$version.txt \
	  || exit 1; \
	done
	rm -r .venv-lock

COMPILE = $(NO_ROS) .venv-lock/bin/uv pip compile setup.py --quiet --no-header --no-annotate --no-python-downloads \
	  --python-version $$version --python-platform x86_64-manylinux_2_28 --constraint constraints.txt $(UPGRADE)

clean: ## remove what the other targets created
	rm -rf .venv .venv-demo .venv-lock build install log dist *.egg-info .mypy_cache .ruff_cache .pytest_cache \
	  .import_linter_cache .hypothesis

# pip installs the locked versions without resolving. Only torch is resolved by pip: its dependencies depend on whether
# pip finds the CUDA build, as on PyPI, or the CPU build.
.venv/stamp: TORCH = torch
.venv/stamp: locks/setup-$(PYTHON_VERSION).txt
.venv-demo/stamp: locks/demo-$(PYTHON_VERSION).txt
.venv/stamp .venv-demo/stamp: LOCK = $(filter locks/%,$^)
.venv/stamp .venv-demo/stamp: setup.py constraints.txt
	$(PYTHON) -m venv $(@D)
	$(NO_ROS) $(@D)/bin/python $(PIP_INSTALL) --constraint constraints.txt pip setuptools
	$(NO_ROS) $(@D)/bin/python $(PIP_INSTALL) --no-deps --requirement $(LOCK)
	$(if $(TORCH),$(NO_ROS) $(@D)/bin/python $(PIP_INSTALL) --constraint constraints.txt --constraint $(LOCK) $(TORCH))
	$(NO_ROS) $(@D)/bin/python $(PIP_INSTALL) --no-deps --editable .
	@touch $@

locks/%.txt:
	@echo "'$(PYTHON)' is not Python 3.10 to 3.13; choose one: make PYTHON=python3.12 ..." >&2; exit 2
