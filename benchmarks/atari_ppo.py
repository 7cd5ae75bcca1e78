"""Steps per second of PPO on Breakout beside Stable-Baselines3's, the two in turn in one run.

8 environments x 128 steps, 4 epochs, minibatches of 256, on pictures of 84 x 84 x 4, both with the wrappers of the
DeepMind papers. Both networks are the Nature CNN (Mnih et al., 2015): convolutions of 32 kernels of 8 x 8 with stride
4, 64 of 4 x 4 with stride 2 and 64 of 3 x 3, none of them padded, 512 dense units, and heads for policy and value.
Stacks of this library are padded, so ours is a custom model of its layers; that both networks have as many parameters
is checked. Both sides go through their public ``learn()``, each with the thread count that serves it best. Medians of
three runs.

    python benchmarks/atari_ppo.py [STEPS]
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

from machine import HERE, PEER_PYTHON, describe, median, require_peers, run_json

STEPS = 10 * 1024
RUNS = 3
GAME: dict[str, Any] = {"id": "ALE/Breakout-v5", "frameskip": 1, "repeat_action_probability": 0.0}
"""Single frames; wrappers on both sides take four to a step."""

SETTINGS: dict[str, Any] = {
    "num_envs_per_env_runner": 8,
    "train_batch_size": 1024,
    "num_epochs": 4,
    "minibatch_size": 256,
    "lr": 2.5e-4,
    "gamma": 0.99,
    "lambda_": 0.95,
    "clip_param": 0.1,
    "vf_clip_param": None,
    "vf_loss_coeff": 0.5,
    "entropy_coeff": 0.01,
    "kl_coeff": 0.0,
    "grad_clip": 0.5,
    "seed": 0,
    "device": "cpu",
    "scale_images": True,
    "env_config": {key: value for key, value in GAME.items() if key != "id"},
}


def nature_cnn() -> type[Any]:
    """Return the network, as a custom model."""
    import torch
    from torch import nn

    from anyspace.models import TorchModelV2
    from anyspace.models.pictures import Filter, PlacedFilter
    from anyspace.models.torch.convolution import Convolution

    class NatureCNN(TorchModelV2, nn.Module):
        def __init__(self, *args: Any):
            super().__init__(*args)
            side, channels, layers = 84, 4, []
            for layer in (Filter(32, (8, 8), 4), Filter(64, (4, 4), 2), Filter(64, (3, 3), 1)):
                placed = PlacedFilter(side, side, channels, layer, last=True)
                side, channels = placed.size[0], layer.channels
                layers += [Convolution(placed, self.model_config), nn.ReLU()]
            self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(side * side * channels, 512), nn.ReLU())
            self.policy, self.value = nn.Linear(512, int(self.num_outputs or 0)), nn.Linear(512, 1)

        def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
            self.features = self.body(input_dict["obs"])
            return self.policy(self.features), state

        def value_function(self) -> torch.Tensor:
            value: torch.Tensor = self.value(self.features).squeeze(1)
            return value

    return NatureCNN


def ours(steps: int, threads: int) -> None:
    """Measure this library in this process and print one JSON line."""
    import torch

    from anyspace import PPO
    from anyspace.data.environments import EnvSpec
    from anyspace.data.sources import make_source

    torch.set_num_threads(threads)
    algorithm = PPO(GAME["id"], {**SETTINGS, "model": {"custom_model": nature_cnn()}}, preset="none")
    algorithm.learn(1024, progress=False)
    before = algorithm.timesteps_total
    started = time.perf_counter()
    algorithm.learn(before + steps, progress=False)
    rate = (algorithm.timesteps_total - before) / (time.perf_counter() - started)
    source = make_source(EnvSpec(str(GAME["id"]), SETTINGS["env_config"]), 8)
    source.reset(0)
    actions = np.random.default_rng(0).integers(0, 4, (200, 8))
    started, counted = time.perf_counter(), 0
    for row in actions:
        counted += int((~source.step(row).ignored).sum())
    alone = counted / (time.perf_counter() - started)
    sizes = [layer.parameters for layer in algorithm.policy.runtime.layers(algorithm.policy.model)]
    print(json.dumps({"rate": rate, "environment_rate": alone, "parameters": sum(sizes)}))


def run(side: str, steps: int, threads: int) -> dict[str, Any]:
    """Measure one side in a process of its own."""
    if side == "ours":
        return run_json([sys.executable, __file__, "--ours", str(steps), str(threads)])
    peer_script = str(HERE / "peers" / "sb3_ppo_atari.py")
    return run_json([str(PEER_PYTHON), peer_script, json.dumps(GAME), str(steps), str(threads)])


def main(steps: int) -> None:
    """Find the best thread counts, measure both in turn and print the table."""
    require_peers()
    sides = ("ours", "peer")
    tried = {side: {count: run(side, max(1024, steps // 4), count) for count in (1, 2)} for side in sides}
    counts = {side: {found["parameters"] for found in tried[side].values()} for side in sides}
    if counts["ours"] != counts["peer"]:
        sys.exit(f"the networks differ: {counts['ours']} parameters here, {counts['peer']} there")
    threads = {side: max(tried[side], key=lambda count: float(tried[side][count]["rate"])) for side in sides}
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(RUNS):
        for side in sides:
            runs[side].append(run(side, steps, threads[side]))
    names = {"ours": "anyspace", "peer": f"Stable-Baselines3 {runs['peer'][0]['version']}"}
    parameters = runs["ours"][0]["parameters"]
    print(f"PPO on Breakout, {steps:,} steps, {parameters:,} parameters, median of {RUNS} runs in turn; {describe()}\n")
    print("| library | threads, its best | steps/s | lowest to highest | environment alone, steps/s |")
    print("|---|---|---|---|---|")
    for side in sides:
        rates = [float(one["rate"]) for one in runs[side]]
        alone = median([one["environment_rate"] for one in runs[side]])
        row = [names[side], str(threads[side]), f"{median(rates):,.0f}", f"{min(rates):,.0f} to {max(rates):,.0f}"]
        print(f"| {' | '.join(row)} | {alone:,.0f} |")
    ratios = sorted(mine["rate"] / peer["rate"] for mine, peer in zip(runs["ours"], runs["peer"], strict=True))
    print(f"\nratios of runs side by side {ratios[0]:.2f} to {ratios[-1]:.2f}, median {median(ratios):.2f}")
    others = {names[side]: {count: round(tried[side][count]["rate"]) for count in (1, 2)} for side in sides}
    print(f"steps/s with one and two threads, {max(1024, steps // 4):,} steps each: {others}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ours"]:
        ours(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else STEPS)
