"""Which algorithm takes which actions, memories, masks and heads: all of them built and trained for one iteration.

``make table`` runs every cell on PyTorch, and on JAX and TensorFlow cells that cover every pair; it writes
docs/algorithms.md. The suite runs cells that cover every pair on PyTorch, and a few on the others.
"""

from __future__ import annotations

import copy
import itertools
import multiprocessing
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from anyspace.algorithms import ALGORITHMS
from anyspace.errors import AnyspaceError
from anyspace.spaces import ActionMasks, Simplex
from anyspace.spaces.kinds.registered import known_actions

PAGE = Path(__file__).parents[2] / "docs/algorithms.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"

ACTIONS: dict[str, gym.Space[Any]] = {
    "Discrete": spaces.Discrete(3, start=1),
    "MultiDiscrete": spaces.MultiDiscrete([3, 2]),
    "MultiBinary": spaces.MultiBinary(3),
    "Box": spaces.Box(-1.0, 2.0, (2,)),
    "integer Box": spaces.Box(-1, 2, (2,), np.int64),
    "Simplex": Simplex((3,)),
    "Tuple": spaces.Tuple([spaces.Discrete(3), spaces.Box(-1.0, 1.0, (2,))]),
    "Dict": spaces.Dict(turn=spaces.Discrete(3, start=-1), flip=spaces.MultiBinary(2)),
}
"""The Tuple holds a choice and real numbers, the Dict choices alone."""

_TINY = {"max_seq_len": 4, "fcnet_hiddens": [8]}
MEMORIES: dict[str, dict[str, Any]] = {
    "none": {"fcnet_hiddens": [8]},
    "LSTM": {**_TINY, "use_lstm": True, "lstm_cell_size": 8},
    "GRU": {**_TINY, "use_gru": True, "lstm_cell_size": 8, "lstm_use_prev_action": True},
    "GTrXL": {
        **_TINY,
        "use_attention": True,
        "attention_dim": 8,
        "attention_num_heads": 1,
        "attention_head_dim": 8,
        "attention_position_wise_mlp_dim": 8,
        "attention_memory_inference": 4,
        "attention_memory_training": 4,
    },
}
MASKS = ("no mask", "mask")
HEADS: dict[str, dict[str, Any]] = {
    "plain": {},
    "autoregressive": {"autoregressive_actions": True},
    "parametric": {"parametric_actions": "learned", "action_embedding_dim": 4},
}


class Cell(NamedTuple):
    """One combination, by name."""

    algorithm: str
    actions: str
    memory: str
    mask: str
    head: str


class Chances(gym.Env[Any, Any]):
    """Observations and rewards are drawn; episodes have 3 to 7 steps; some choices are forbidden if it is masked."""

    def __init__(self, action_space: gym.Space[Any], masked: bool):
        self.observation_space = spaces.Box(-1.0, 1.0, (3,))
        self.action_space = copy.deepcopy(action_space)
        self._layout = ActionMasks(known_actions(self.action_space))
        self._masked = masked

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._left = int(self.np_random.integers(3, 8))
        return self._seen()

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self._left -= 1
        obs, info = self._seen()
        return obs, float(self.np_random.normal()), self._left == 0, False, info

    def _seen(self) -> Any:
        obs = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        if not self._masked:
            return obs, {}
        mask = self.np_random.random(self._layout.width) < 0.7
        while self._layout.empty_rows(mask[None]).any():
            mask = self.np_random.random(self._layout.width) < 0.7
        return obs, {"action_mask": mask}


def cells() -> Iterator[Cell]:
    """Yield all combinations; there is nothing to mask where an action holds real numbers alone."""
    for one in itertools.product(ALGORITHMS, ACTIONS, MEMORIES, MASKS, HEADS):
        cell = Cell(*one)
        if cell.mask == "no mask" or cell.actions not in ("Box", "Simplex"):
            yield cell


def covering(seed: int = 0) -> list[Cell]:
    """Return cells that train, with every pair of values that some cell trains with, and refused ones.

    The latter are one for each algorithm and reason.
    """
    rng = np.random.default_rng(seed)
    columns = list(itertools.combinations(range(len(Cell._fields)), 2))
    train = [cell for cell in cells() if refusal(cell) is None]
    refused = {(cell.algorithm, refusal(cell)): cell for cell in cells() if refusal(cell) is not None}

    def pairs(cell: Cell) -> set[tuple[Any, ...]]:
        return {(i, j, cell[i], cell[j]) for i, j in columns}

    missing, found = set().union(*map(pairs, train)), []
    while missing:
        some = [train[int(i)] for i in rng.integers(len(train), size=400)]
        best = max(some, key=lambda cell: len(pairs(cell) & missing))
        if pairs(best) & missing:
            found.append(best)
            missing -= pairs(best)
    return found + list(refused.values())


SETTINGS: dict[str, dict[str, Any]] = {
    name: {"train_batch_size": 16, "num_envs_per_env_runner": 2, "seed": 0} for name in ALGORITHMS
}
"""What makes an iteration of each algorithm short."""
for _name in ("DQN", "SAC"):
    SETTINGS[_name] |= {
        "train_batch_size": 4,
        "replay_capacity": 200,
        "num_steps_sampled_before_learning_starts": 12,
        "min_sample_timesteps_per_iteration": 16,
    }
SETTINGS["PPO"] |= {"num_epochs": 2, "minibatch_size": 8}
for _name in ("MARWIL", "BC"):
    SETTINGS[_name] |= {"input": "sampler", "minibatch_size": 8}
for _name in ("A2C", "APPO", "IMPALA"):
    SETTINGS[_name] |= {"min_sample_timesteps_per_iteration": 1}


def trained_cells(seed: int = 0) -> list[Cell]:
    """Return cells that train, with every pair of values that some cell trains with."""
    return [cell for cell in covering(seed) if refusal(cell) is None]


def outcome(cell: Cell, framework: str = "torch", way: int = 0) -> str:
    """Build and train a cell for one iteration, in compiled steps for three; return why it is refused, or nothing.

    Args:
        cell: what to train.
        framework: with what.
        way: how TensorFlow has to run it, in `anyspace.models.tf.ways.WAYS`.

    Raises:
        AssertionError: it trains, but what it reports is not finite, or no weight moves, or further iterations compile
            their steps anew, or TensorFlow goes another way.
    """
    settings = {**SETTINGS[cell.algorithm], "framework": framework}
    settings["model"] = {**MEMORIES[cell.memory], **HEADS[cell.head]}
    env = Chances(ACTIONS[cell.actions], cell.mask == "mask")
    kind = ALGORITHMS[cell.algorithm]
    try:
        algorithm = kind(lambda: copy.deepcopy(env), settings, preset="none")
    except AnyspaceError as error:
        return str(error)
    with closing(algorithm):
        before = algorithm.policy.weights()
        if framework == "tf":
            algorithm.policy.runtime.ways.number = way
        result = algorithm.train()
        after = algorithm.policy.weights()
        if framework != "torch":
            for _ in range(2):
                result = algorithm.train()
            assert 1 <= algorithm.learner.compilations <= MOST_COMPILATIONS, (cell, algorithm.learner.compilations)
        assert framework != "tf" or algorithm.policy.runtime.ways.number == way, cell
    numbers = {name: value for name, value in result["learner"].items() if isinstance(value, float)}
    assert all(map(np.isfinite, numbers.values())), (cell, numbers)
    assert any(not np.array_equal(before[name], after[name]) for name in before if name.startswith("model/")), cell
    return ""


MOST_COMPILATIONS = 4
"""Of the gradient steps of an algorithm."""

_ONE_PART = ("Discrete", "Box", "Simplex")
"""Actions with a single part, none of which can depend on another."""


def refusal(cell: Cell) -> str | None:
    """Return what the error of a cell that is refused says, or None for one that trains."""
    if cell.algorithm == "DQN" and cell.head == "autoregressive":
        return "each choice is made by itself"
    if cell.algorithm == "DQN" and cell.actions in ("Box", "Simplex", "Tuple"):
        return "Take SAC or PPO"
    if cell.algorithm == "SAC" and cell.memory == "GTrXL":
        return "`use_attention` does not go with SAC|`autoregressive_actions` does not go with SAC"
    if cell.algorithm == "SAC" and cell.head == "autoregressive":
        return "`autoregressive_actions` does not go with SAC"
    if cell.head == "parametric" and cell.actions != "Discrete":
        return "embeddings"
    if cell.head == "autoregressive" and cell.actions in _ONE_PART:
        return "has one part alone"
    return None


def main(arguments: Sequence[str]) -> int:
    """Run every cell, print the page, write it if ``--write`` is given; return how many cells are not as expected."""
    every, wrong = list(cells()), 0
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        found = dict(zip(every, pool.map(_guarded, every, chunksize=8), strict=True))
        for framework in ("jax", "tf"):
            some = trained_cells()
            for cell, said in zip(some, pool.map(partial(_guarded, framework=framework), some), strict=True):
                if said:
                    wrong += 1
                    print(f"{framework} / {' / '.join(cell)}: got {said!r}")
    for cell, said in found.items():
        expected = refusal(cell)
        if (expected is None and said) or (expected is not None and not re.search(expected, said)):
            wrong += 1
            print(f"{' / '.join(cell)}: expected {expected!r}, got {said!r}")
    page = _page(found)
    print(page)
    if "--write" in arguments:
        text = PAGE.read_text(encoding="utf-8")
        start, stop = text.index(BEGIN) + len(BEGIN), text.index(END)
        PAGE.write_text(f"{text[:start]}\n\n{page}\n\n{text[stop:]}", encoding="utf-8")
    print(f"{len(every)} cells, {sum(not said for said in found.values())} train, {wrong} are not as expected")
    return wrong


def _guarded(cell: Cell, framework: str = "torch") -> str:
    warnings.simplefilter("error")
    try:
        return outcome(cell, framework)
    except Exception as error:  # a fault of ours: it is counted, and the other cells are run
        return f"{type(error).__name__}: {error}"


def _page(found: dict[Cell, str]) -> str:
    """Return a table for each group of algorithms that take the same, and the reasons of what is refused."""
    reasons: list[str] = []

    def entry(algorithm: str, actions: str, memory: str) -> str:
        trains = {
            head: all(
                not said
                for cell, said in found.items()
                if cell[:3] == (algorithm, actions, memory) and cell.head == head
            )
            for head in HEADS
        }
        if trains["plain"]:
            return "yes" + "".join(f", {head}" for head in ("autoregressive", "parametric") if trains[head])
        said = next(found[cell] for cell in found if cell[:3] == (algorithm, actions, memory) and cell.head == "plain")
        if said not in reasons:
            reasons.append(said)
        return f"no ({reasons.index(said) + 1})"

    tables: dict[str, list[str]] = {}
    for algorithm in ALGORITHMS:
        lines = [
            f"| actions | {' | '.join(f'memory: {name}' for name in MEMORIES)} |",
            f"|{'---|' * (1 + len(MEMORIES))}",
        ]
        for actions in ACTIONS:
            entries = [entry(algorithm, actions, memory) for memory in MEMORIES]
            lines.append(f"| {' | '.join([actions, *entries])} |")
        tables.setdefault("\n".join(lines), []).append(algorithm)
    lines = [line for table, names in tables.items() for line in (f"### {', '.join(names)}", "", table, "")]
    lines += [f"{number}. {said}" for number, said in enumerate(reasons, 1)]
    return "\n".join(lines).strip()


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
