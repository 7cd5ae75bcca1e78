"""Models of PyTorch in other floats than float32: trained, saved and loaded under everything that lies on a model."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, Tuple
from torch import nn

from anyspace import DQN, PPO, SAC, Algorithm
from anyspace.errors import ModelError
from anyspace.models import TorchModelV2
from tests.support.environments import Samples, Script

SIZES: dict[str, Any] = {"num_envs_per_env_runner": 2, "lr": 0.05, "seed": 0, "preset": "none"}
ON_POLICY: dict[str, Any] = {"train_batch_size": 32, "minibatch_size": 16, "num_epochs": 1, "grad_clip": 0.5, **SIZES}
OFF_POLICY: dict[str, Any] = {
    "train_batch_size": 8,
    "num_steps_sampled_before_learning_starts": 8,
    "min_sample_timesteps_per_iteration": 32,
    **SIZES,
}


class OfWidth(TorchModelV2, nn.Module):
    """One layer of the type that the subclass says."""

    dtype: torch.dtype

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: Any, model_config: Any, name: str):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.num_outputs = num_outputs or 6
        self.layer = nn.Linear(obs_space.shape[0], self.num_outputs + 1, dtype=self.dtype)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        out = self.layer(input_dict["obs_flat"].to(self.dtype))
        self._value = out[:, -1]
        return out[:, :-1], state

    def value_function(self) -> torch.Tensor:
        return self._value


class Float16(OfWidth):
    dtype = torch.float16


class BFloat16(OfWidth):
    dtype = torch.bfloat16


class Float64(OfWidth):
    dtype = torch.float64


CASES: dict[str, tuple[type[Algorithm], Any, dict[str, Any]]] = {
    "alone": (PPO, Discrete(3), ON_POLICY),
    "lstm": (PPO, Discrete(3), {**ON_POLICY, "model": {"use_lstm": True, "lstm_cell_size": 4}}),
    "gtrxl": (PPO, Discrete(3), {**ON_POLICY, "model": {"use_attention": True, "attention_dim": 4}}),
    "autoregressive": (
        PPO,
        Tuple((Discrete(3), Box(-1, 1, (2,)))),
        {**ON_POLICY, "model": {"autoregressive_actions": True}},
    ),
    "heads of Q": (DQN, Discrete(3), {**OFF_POLICY, "num_atoms": 3, "v_min": 0.0, "v_max": 9.0, "noisy": True}),
    "actor": (SAC, Box(-1, 1, (2,)), OFF_POLICY),
}


@pytest.mark.parametrize("kind", [Float16, BFloat16, Float64])
@pytest.mark.parametrize("case", CASES)
def test_models_of_any_width_train_and_come_back(case: str, kind: type[OfWidth], tmp_path: Path) -> None:
    algo, action_space, config = CASES[case]
    model = {**config.get("model", {}), "custom_model": kind}
    keys = {"policy_model_config": model, "q_model_config": model} if algo is SAC else {"model": model}

    def env(config: Any) -> Samples:
        return Samples(Box(-1, 1, (4,)), action_space)

    with closing(algo(env, **{**config, **keys})) as algorithm:
        before = algorithm.policy.runtime.parameters(algorithm.policy.model)
        algorithm.train()
        after = algorithm.policy.runtime.parameters(algorithm.policy.model)
        own = [name for name in after if "layer.weight" in name and "target" not in name]
        assert own
        for name in own:
            assert np.isfinite(after[name]).all()
            assert (after[name] != before[name]).any()
            # Where squares of small gradients are 0, as in float16, Adam would divide by its epsilon alone.
            assert np.abs(after[name] - before[name]).max() < 32 * 0.05
        algorithm.save(tmp_path / "run")
    with closing(Algorithm.load(tmp_path / "run", config=keys, env=env)) as loaded:
        found = loaded.policy.runtime.parameters(loaded.policy.model)
        assert all((found[name] == after[name]).all() for name in after)
        assert {one.dtype for name, one in loaded.policy.model.named_parameters() if name in own} == {kind.dtype}
        loaded.train()


@pytest.mark.parametrize(("kind", "warns"), [(BFloat16, True), (Float64, False)])
def test_weights_that_lose_small_steps_are_told(
    kind: type[OfWidth], warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, "anyspace"),
        closing(PPO(Script, model={"custom_model": kind}, **ON_POLICY)) as algorithm,
    ):
        algorithm.train()
    said = [text for text in caplog.messages if "16 bits (`layer.bias`)" in text]
    assert bool(said) is warns


def test_layers_of_another_type_than_the_observations_are_explained() -> None:
    class Forgotten(Float64):
        def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
            return self.layer(input_dict["obs_flat"])[:, :-1], state

    with pytest.raises(ModelError, match=r"failed in a dummy pass .* Observations are float32: in forward\(\), cast"):
        PPO(Script, model={"custom_model": Forgotten}, **ON_POLICY)


def test_complex_weights_are_refused_when_they_are_to_be_trained() -> None:
    class Complex(Float64):
        def __init__(self, *arguments: Any):
            super().__init__(*arguments)
            self.phases = nn.Parameter(torch.ones(3, dtype=torch.complex64))

    with closing(PPO(Script, model={"custom_model": Complex}, **ON_POLICY)) as algorithm:
        algorithm.evaluate(episodes=1)
        with pytest.raises(ModelError, match=r"Complex .*`phases` is complex64, .* by torch.complex\(real"):
            algorithm.train()
