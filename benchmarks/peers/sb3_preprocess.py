"""Stable-Baselines3's preprocessing of stacked Dicts; prints one JSON line. Run by benchmarks/preprocess.py."""

from __future__ import annotations

import json
import statistics
import sys
import timeit

import stable_baselines3
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from gymnasium.vector.utils import concatenate, create_empty_array
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import CombinedExtractor
from stable_baselines3.common.utils import obs_as_tensor

SPACE = Dict(
    {
        "weapon": Discrete(5),
        "room": Discrete(8),
        "inventory": MultiDiscrete([3, 4, 5]),
        "position": Box(-10, 10, (3,)),
        "velocity": Box(-10, 10, (3,)),
    }
)


def main(rows: int, repetitions: int) -> None:
    torch.set_num_threads(1)
    SPACE.seed(0)
    batch = concatenate(SPACE, [SPACE.sample() for _ in range(rows)], create_empty_array(SPACE, rows))
    extractor = CombinedExtractor(SPACE)

    def flat() -> torch.Tensor:
        return extractor(preprocess_obs(obs_as_tensor(batch, "cpu"), SPACE))

    with torch.no_grad():
        assert flat().shape == (rows, 31)
        calls = max(1, int(0.02 / (timeit.timeit(flat, number=3) / 3)))
        times = [timeit.timeit(flat, number=calls) / calls * 1e6 for _ in range(repetitions)]
    print(json.dumps({"microseconds": statistics.median(times), "version": stable_baselines3.__version__}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
