"""Act with an exported policy, by NumPy and onnxruntime alone: ``python act_with_onnx.py policy.onnx CartPole-v1``."""

import json
import sys
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


class OnnxPolicy:
    def __init__(self, path: str | Path):
        contract = json.loads(Path(path).with_suffix(".json").read_text())
        self.inputs, self.outputs = contract["inputs"], contract["outputs"]
        self.session, self.rng = onnxruntime.InferenceSession(str(path)), np.random.default_rng()
        self.reset()

    def reset(self) -> None:
        self.given = {it["name"]: np.full(it["shape"], it["role"] == "is_first", it["dtype"]) for it in self.inputs}
        self.begins = True

    def act(self, observation: Any, **beside: Any) -> dict[str, Any]:
        """Return the parts of an action by name. Give `action_mask` and `prev_reward` where the contract has them.

        Raises:
            ValueError: one of them is missing or of another shape; an episode's first step has no `prev_reward`.
        """
        for one in self.inputs:
            value = beside.get(one["role"])
            if one["role"] == "observation":
                value = reduce(lambda whole, part: whole[part], one["path"], observation)
            elif one["role"] == "noise":
                value = np.concatenate([getattr(self.rng, run["kind"])(size=run["count"]) for run in one["columns"]])
            elif value is None and one["role"] in ("action_mask", *(() if self.begins else ("prev_reward",))):
                raise ValueError(f"a step takes a new {one['role']} with each observation: act(..., {one['role']}=...)")
            if value is not None and np.size(value) != self.given[one["name"]].size:
                raise ValueError(f"{one['name']} is {np.shape(value)}, not {one['shape']}: is a wrapper missing?")
            if value is not None:
                self.given[one["name"]] = np.asarray(value, one["dtype"]).reshape(one["shape"])
        self.begins = False
        found = dict(zip([one["name"] for one in self.outputs], self.session.run(None, self.given), strict=True))
        remembered = {one["becomes"]: found.pop(one["name"]) for one in self.outputs if one["role"] == "memory"}
        self.given.update(remembered, **{name: np.zeros(1, bool) for name in self.given if name == "is_first"})
        return {name: part[0] for name, part in found.items()}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python act_with_onnx.py policy.onnx CartPole-v1")
    import gymnasium as gym  # for something to act in

    policy, env, total, done = OnnxPolicy(sys.argv[1]), gym.make(sys.argv[2]), 0.0, False
    obs, _ = env.reset()
    while not done:
        obs, reward, terminated, truncated, _ = env.step(policy.act(obs)["action"])
        total, done = total + float(reward), terminated or truncated
    print(f"return {total:g}")
