# Every target is a line or two over commands that work by hand as well.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint spec hashes learning fuzz peers peers-rllib names bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY)  ## train PPO on CartPole-v1 until it is solved, evaluate, say where the run lies
	$(BIN)/anyspace train CartPole-v1 --stop-return 475 --steps 100000 --seed 0 --evaluate 10

lint: $(READY)  ## style, types and layers
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: lint  ## every check
	$(BIN)/python -m pytest -n 2 -m 'not learning and not fuzz'

spec: $(READY)  ## docs/acceptance.md names every row, and exactly the tests that show it
	$(BIN)/python -m tests.acceptance

hashes: $(READY)  ## parameters after three iterations, for each kind of model: to compare two trees on one machine
	$(BIN)/python -m tests.support.hashes

learning: $(READY)  ## what has to be learnt, on every seed: minutes
	$(BIN)/python -m pytest -m $@ -v -s

fuzz: $(READY)  ## ten thousand random pairs of spaces, FUZZ_SEED=n for the pairs of an earlier run: many minutes
	$(BIN)/python -m pytest -m $@ -v -s

peers: .venv-peers/.ready  ## the libraries that benchmarks compare with, in their own environment

.venv-peers/.ready: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --requirement benchmarks/peers/requirements.txt
	touch $@

peers-rllib: .venv-rllib/.ready  ## RLlib 2.40, whose pins fit no other environment

.venv-rllib/.ready: benchmarks/peers/requirements-rllib.txt
	$(PYTHON) -m venv .venv-rllib
	.venv-rllib/bin/python -m pip install --quiet --requirement benchmarks/peers/requirements-rllib.txt
	touch $@

names: $(READY) peers-rllib  ## every name of anyspace.rllib beside RLlib 2.40's
	$(BIN)/python -m tests._rllib.names

bench: $(READY) peers  ## speed beside peers, as in docs/benchmarks.md
	$(BIN)/python benchmarks/ppo_cartpole.py
	$(BIN)/python benchmarks/time_to_solve.py
	$(BIN)/python benchmarks/preprocess.py
	$(BIN)/python benchmarks/atari.py
	$(BIN)/python benchmarks/memory_cartpole.py

clean:
	rm -rf $(VENV) .venv-peers .venv-rllib build *.egg-info src/*.egg-info
