"""What it costs to make flat float32 vectors of raw observations, beside Gymnasium and Stable-Baselines3.

Nested: a Dict of two indices, a MultiDiscrete and a Dict of two vectors; 64 observations, stacked as a vector
environment stacks them, against 64 single ones. Stable-Baselines3 takes no Dict in a Dict, so it is measured on the
same leaves without nesting: its ``preprocess_obs`` and ``CombinedExtractor`` on stacked arrays, which give a PyTorch
tensor, and ours then as one as well. Lists: 64 Python lists each. One thread; medians of repeated timings in turn.

    python benchmarks/preprocess.py
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from gymnasium.spaces.utils import flatten
from gymnasium.vector.utils import concatenate, create_empty_array

from anyspace.spaces import Repeated, get_preprocessor
from machine import HERE, PEER_PYTHON, describe, median, require_peers, run_json

N = 64
REPETITIONS = 15
PEER_RUNS = 3

LEAVES: dict[str, gym.Space[Any]] = {"weapon": Discrete(5), "room": Discrete(8), "inventory": MultiDiscrete([3, 4, 5])}
VECTORS: dict[str, gym.Space[Any]] = {"position": Box(-10, 10, (3,)), "velocity": Box(-10, 10, (3,))}
NESTED = Dict({**LEAVES, "body": Dict(VECTORS)})
UNNESTED = Dict({**LEAVES, **VECTORS})

ITEM = Dict({"position": Box(-10, 10, (2,)), "kind": Discrete(5), "state": MultiDiscrete([3, 4])})
LISTS = {
    "20 vectors of 2": Repeated(Box(-10, 10, (2,)), 20),
    "20 dicts of a vector, an index and a MultiDiscrete": Repeated(ITEM, 20),
    "5 lists of 5 indices": Repeated(Repeated(Discrete(4), 5), 5),
}


def samples(space: gym.Space[Any]) -> list[Any]:
    space.seed(0)
    return [space.sample() for _ in range(N)]


def stacked(space: gym.Space[Any], singles: list[Any]) -> Any:
    room: Any = create_empty_array(space, N)
    return concatenate(space, singles, room)


def full_list(space: gym.Space[Any]) -> Any:
    """Return a member of a space whose lists have their longest length."""
    if isinstance(space, Repeated):
        return [full_list(space.child_space) for _ in range(space.max_len)]
    return space.sample()


def elements(space: gym.Space[Any]) -> int:
    """Return how many elements a list of the longest length has; of lists in lists, the inner elements alone."""
    return space.max_len * elements(space.child_space) if isinstance(space, Repeated) else 1


def microseconds(candidates: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median time of a call of each candidate, timed in turn."""
    calls = {}
    for name, candidate in candidates.items():
        once = timeit.timeit(candidate, number=3) / 3
        calls[name] = max(1, int(0.02 / once))
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(REPETITIONS):
        for name, candidate in candidates.items():
            times[name].append(timeit.timeit(candidate, number=calls[name]) / calls[name] * 1e6)
    return {name: median(values) for name, values in times.items()}


def nested() -> None:
    preprocessor, singles = get_preprocessor(NESTED), samples(NESTED)
    batch = stacked(NESTED, singles)
    times = microseconds(
        {
            f"anyspace, {N} stacked": lambda: preprocessor.transform_batch(batch),
            "anyspace, one by one": lambda: [preprocessor.transform(obs) for obs in singles],
            "gymnasium `flatten`, one by one": lambda: [flatten(NESTED, obs) for obs in singles],
        }
    )
    ours = next(iter(times.values()))
    print(f"Nested Dict, {preprocessor.size} float32 values an observation\n")
    print("| | µs an observation | times ours |\n|---|---|---|")
    for name, time in times.items():
        print(f"| {name} | {time / N:.2f} | {time / ours:.1f} |")


def unnested() -> None:
    preprocessor = get_preprocessor(UNNESTED)
    batch = stacked(UNNESTED, samples(UNNESTED))
    script, mine, peers = str(HERE / "peers" / "sb3_preprocess.py"), [], []
    for _ in range(PEER_RUNS):
        mine.append(microseconds({"": lambda: torch.from_numpy(preprocessor.transform_batch(batch))})[""])
        peers.append(run_json([str(PEER_PYTHON), script, str(N), str(REPETITIONS)]))
    ours, theirs = median(mine), median([peer["microseconds"] for peer in peers])
    print("\nThe same leaves without nesting, stacked, to a PyTorch tensor\n")
    print("| | µs an observation | times ours |\n|---|---|---|")
    print(f"| anyspace | {ours / N:.2f} | 1.0 |")
    print(f"| Stable-Baselines3 {peers[0]['version']} | {theirs / N:.2f} | {theirs / ours:.1f} |")


def lists() -> None:
    print(f"\n{N} Python lists, to float32 vectors\n")
    print("| each of | µs an element |\n|---|---|")
    for name, space in LISTS.items():
        space.seed(0)
        preprocessor, members = get_preprocessor(space), [full_list(space) for _ in range(N)]
        time = microseconds({name: partial(preprocessor.transform_batch, members)})[name]
        print(f"| {name} | {time / (N * elements(space)):.2f} |")


def main() -> None:
    """Measure and print the tables."""
    require_peers()
    torch.set_num_threads(1)
    print(f"Preprocessing, median of {REPETITIONS} timings in turn; {describe()}\n")
    nested()
    unnested()
    lists()


if __name__ == "__main__":
    main()
