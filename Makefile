# Every target is a line or two over commands that work by hand as well.
PYTHON ?= python3
# What a user installs; `make demo` needs no more.
VENV := .venv
# What `make test` needs beside it.
DEV := .venv-dev
BIN := $(DEV)/bin
READY := $(DEV)/.ready
# PyTorch's wheels for machines without a GPU, of a quarter of the size; README.md names their index.
CPU_INDEX := $(if $(shell command -v nvidia-smi),,$(shell sed -n 's/.*--index-url \([^ ]*\).*/\1/p' README.md | head -n 1))

.PHONY: demo test lint spec docs hashes learning fuzz mutants soak table dist packages versions peers peers-rllib names bench parity popgym gallery ray clean

# install,ENVIRONMENT,WHAT
define install
	$(PYTHON) -m venv $(1)
	$(if $(CPU_INDEX),$(1)/bin/python -m pip install --quiet --no-deps --constraint constraints.txt --retries 0 \
	  --index-url $(CPU_INDEX) torch || echo "PyTorch's index for CPUs does not answer; its default wheels will do.")
	$(1)/bin/python -m pip install --quiet --constraint constraints.txt --editable '$(2)'
	touch $@
endef

$(VENV)/.ready: pyproject.toml constraints.txt
	$(call install,$(VENV),.)

$(READY): pyproject.toml constraints.txt
	$(call install,$(DEV),.[dev])

demo: $(VENV)/.ready  ## train PPO on CartPole-v1 until it is solved, evaluate, say where the run lies
	$(VENV)/bin/anyspace train CartPole-v1 --stop-return 475 --steps 100000 --seed 0 --evaluate 10

lint: $(READY)  ## style, types and layers
	$(BIN)/ruff check src tests benchmarks examples docs/hooks.py
	$(BIN)/ruff format --check src tests benchmarks examples docs/hooks.py
	$(BIN)/mypy
	$(BIN)/python -m tests.support.typed_readme
	$(BIN)/lint-imports --no-cache

test: lint  ## every check
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'not learning and not fuzz and not soak and not ray'

spec: $(READY)  ## docs/acceptance.md names every row, and exactly the tests that show it
	$(BIN)/python -m tests.acceptance

docs: $(READY)  ## the pages of docs/ as a site in site/, with every warning an error; its pages are tried by make test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site

hashes: $(READY)  ## parameters after three iterations, for each kind of model: to compare two trees on one machine
	$(BIN)/python -m tests.support.hashes

learning: $(READY)  ## what has to be learnt, TASK="pendulum and seed1" FRAMEWORK=jax for some of it: hours, and lines in docs/learning.md
	LEARNING_LOG=docs/learning.md LEARNING_FRAMEWORK=$(or $(FRAMEWORK),torch) \
	  $(BIN)/python -m pytest -m $@ -v -s $(if $(TASK),-k '$(TASK)')

fuzz: $(READY)  ## ten thousand random pairs of spaces, FUZZ_SEED=n for the pairs of an earlier run: many minutes
	$(BIN)/python -m pytest -m $@ -v -s

mutants: $(READY)  ## breaks one line in each room: the tests beside it have to notice
	$(BIN)/python -m tests.support.mutants

soak: $(READY)  ## an hour of training, SOAK_MINUTES=n for another time: memory, open files and checkpoints stay what they are
	SOAK_MINUTES=$(or $(SOAK_MINUTES),60) $(BIN)/python -m pytest -m $@ -v -s

table: $(READY)  ## every algorithm with all actions, memories, masks and heads, into docs/algorithms.md; pairs of them on JAX and TensorFlow: an hour
	$(BIN)/python -m tests.support.table --write

dist: $(READY)  ## source archive and wheel: the wheel trains, and the archive's tests are green
	$(BIN)/python -m pytest -m fuzz tests/test_dist.py

packages: .venv-packages/.ready  ## tests with other packages: MiniGrid, mo-gymnasium, SuperSuit, PettingZoo, Minari, lz4, Keras 2
	.venv-packages/bin/python -m pytest tests/data/offline tests/data/test_packages.py tests/data/test_supersuit.py tests/data/test_foreign.py \
	  tests/spaces/kinds/test_minigrid.py tests/algorithms/test_doors.py
	.venv-packages/bin/python -m pytest tests/frameworks/test_tf_networks.py -k keras_2

.venv-packages/.ready: pyproject.toml constraints.txt
	$(call install,.venv-packages,.[packages])

versions:  ## the lowest allowed versions, other Gymnasiums and Pythons, the newest: hours; the table goes into docs/installation.md
	$(PYTHON) -m tests.support.versions --write

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
	$(BIN)/python benchmarks/masked_hall.py
	$(BIN)/python benchmarks/collecting.py
	$(BIN)/python benchmarks/time_to_solve.py jax
	$(BIN)/python benchmarks/preprocess.py
	$(BIN)/python benchmarks/atari.py
	$(BIN)/python benchmarks/atari_ppo.py
	$(BIN)/python benchmarks/memory_cartpole.py
	$(BIN)/python benchmarks/memory_cartpole.py jax
	$(BIN)/python benchmarks/algorithms.py
	$(BIN)/python benchmarks/algorithms.py jax
	$(BIN)/python benchmarks/frameworks.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python -m benchmarks.fleet_simulation

parity: .venv-gallery/.ready peers  ## final returns beside Stable-Baselines3's, TASK=cartpole-dqn SEEDS="0 1": hours, and lines in docs/parity.csv
	.venv-gallery/bin/python benchmarks/parity.py $(TASK) $(if $(SEEDS),--seeds $(SEEDS))

popgym: .venv-popgym/.ready  ## POPGym's Easy tasks with every memory, TASK=RepeatFirstEasy MEMORY=gru SEEDS="0 1" STEPS=500000: hours, and lines in docs/popgym.csv
	.venv-popgym/bin/python benchmarks/memory_popgym.py $(TASK) $(if $(MEMORY),--memories $(MEMORY)) \
	  $(if $(SEEDS),--seeds $(SEEDS)) $(if $(STEPS),--steps $(STEPS))

gallery: .venv-gallery/.ready  ## environments of many kinds with one command each, TASK=Taxi for one: films and curves in docs/gallery.md
	.venv-gallery/bin/python benchmarks/gallery.py $(TASK)

.venv-gallery/.ready: pyproject.toml constraints.txt
	$(call install,.venv-gallery,.[gallery])

.venv-popgym/.ready: pyproject.toml constraints.txt
	$(call install,.venv-popgym,.[popgym])

ray: $(READY)  ## workers on Ray beside workers in this process, for every kind of model, and what kills them: minutes
	$(BIN)/python -m pytest -m $@ -v -s tests/execution

clean:
	rm -rf $(VENV) $(DEV) .venv-packages .venv-gallery .venv-popgym .venv-peers .venv-rllib .venv-versions build *.egg-info src/*.egg-info
