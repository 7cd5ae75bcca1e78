"""One step of environments and a policy: observe, act, decode, step, encode, remember."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace.data.collector import Collector
from anyspace.data.environments import EnvSpec
from anyspace.data.sources import make_source
from anyspace.data.stepping import Stepping, require_same_spaces
from anyspace.data.vector import VectorSource
from anyspace.errors import CheckpointError, ObservationError
from anyspace.models import ModelConfig
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from tests.support.environments import Remembers, Script
from tests.support.scripted import MODES, vector_env, where

every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def small_policy(observation_space: Any, action_space: Any, model: Any = None, **config: Any) -> Policy:
    settings = PolicyConfig(model=ModelConfig(fcnet_hiddens=[4], **(model or {})), **config)
    return Policy(observation_space, action_space, settings, TorchRuntime("cpu"))


@pytest.mark.spec(1)
def test_the_stages_of_a_step_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    env = Remembers(spaces.Box(0, 10, (1,)))
    source = VectorSource(SyncVectorEnv([lambda: env]))
    policy = small_policy(env.observation_space, env.action_space, observation_filter="MeanStdFilter")
    monkeypatch.setattr(policy.runtime, "numpy_pass", lambda model: None)  # act through the model itself
    collecting = Collector(source, policy)
    collecting.gather(2)
    order: list[str] = []

    def listen(owner: Any, name: str, stage: str) -> None:
        function = getattr(owner, name)

        def heard(*args: Any, **keywords: Any) -> Any:
            result = function(*args, **keywords)
            order.append(stage)
            return result

        monkeypatch.setattr(owner, name, heard)

    listen(policy.preprocessor, "expand", "preprocessor")
    listen(policy.filter, "apply", "filter")
    listen(policy.model, "forward", "model")
    listen(policy, "dist_factory", "distribution")
    listen(policy.exploration, "choose", "exploration")
    listen(policy, "to_env", "unsquash and clip")
    listen(env, "step", "environment")
    collecting.gather(1, explore=False)
    assert order == [
        "preprocessor",
        "filter",
        "model",
        "distribution",
        "exploration",
        "unsquash and clip",
        "environment",
    ]


@every_mode
@pytest.mark.parametrize("kind", ["sync", "own"])
def test_a_step_tells_what_it_led_to_and_what_it_ended(mode: AutoresetMode, kind: str) -> None:
    """Environment 1 ends an episode with its first step."""
    stepping = Stepping(
        VectorSource(vector_env(mode, kind)), small_policy(Script.observation_space, Script.action_space)
    )
    stepping.reset(0)
    np.testing.assert_array_equal(where(stepping.leaves)[:, :3], [[0, 0, 0], [1, 0, 0], [2, 0, 0]])
    with stepping.policy.acting() as act:
        stepped = stepping.step(stepping.act(act, explore=False))
    assert stepped.leaves is stepping.leaves
    at_once = mode is not AutoresetMode.NEXT_STEP
    np.testing.assert_array_equal(
        where(stepped.leaves)[:, :3], [[0, 0, 1], [1, 1, 0] if at_once else [1, 0, 1], [2, 0, 1]]
    )
    assert len(stepped.final) == (2 if at_once else 0)
    if at_once:
        np.testing.assert_array_equal(where(stepped.final)[:, :3], [[1, 0, 1]])
    assert stepped.columns == {}, "the model looks at no other step"


@every_mode
def test_a_model_that_looks_back_keeps_what_it_saw_of_a_source_that_writes_in_place(mode: AutoresetMode) -> None:
    model = {"use_lstm": True, "lstm_cell_size": 3, "lstm_use_prev_action": True, "lstm_use_prev_reward": True}
    policy = small_policy(Script.observation_space, Script.action_space, model)
    pair = [Stepping(VectorSource(vector_env(mode, kind)), policy) for kind in ("sync", "own")]
    for stepping in pair:
        stepping.reset(0)
    with policy.acting() as act:
        for _ in range(9):
            found = []
            for stepping in pair:
                before = [leaf.copy() for leaf in stepping.leaves]
                old = stepping.leaves
                stepped = stepping.step(stepping.act(act, explore=False))
                for leaf, kept in zip(old, before, strict=True):
                    np.testing.assert_array_equal(leaf, kept, err_msg="the next step is written elsewhere")
                found.append(stepped)
            assert set(found[0].columns) == {"actions", "rewards", "state_out_0", "state_out_1"}
            counted = ~found[0].step.ignored
            for name, leaves in found[0].columns.items():
                for mine, theirs in zip(leaves, found[1].columns[name], strict=True):
                    np.testing.assert_array_equal(mine[counted], theirs[counted], err_msg=name)


class Misshapen(gym.vector.VectorEnv[Any, Any, Any]):
    """Two environments, whose vector environment does not return a row for each of them at reset or later."""

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.NEXT_STEP}
    single_observation_space, single_action_space = spaces.Box(0, 9, (2,)), spaces.Discrete(2)
    num_envs = 2

    def __init__(self, first: Any, later: Any):
        self.first, self.later = (np.zeros(shape, np.float32) for shape in (first, later))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self.first, {}

    def step(self, actions: Any) -> Any:
        return self.later, np.zeros(2), np.zeros(2, np.bool_), np.zeros(2, np.bool_), {}


@pytest.mark.parametrize(
    ("shape", "came"),
    [
        ((2,), "a single one"),
        ((1, 2), r"\[1, ...\]"),
        ((3, 2), r"\[3, ...\]"),
        ((1, 2, 2), r"\[1, 2, ...\]"),
        ((2, 1, 2), r"\[2, 1, ...\]"),
    ],
    ids=str,
)
def test_each_environment_has_a_row(shape: Any, came: str) -> None:
    """NumPy would write one row to all the environments."""
    policy = small_policy(Misshapen.single_observation_space, Misshapen.single_action_space)
    for step, envs in enumerate([Misshapen(shape, (2, 2)), Misshapen((2, 2), shape)]):
        message = rf"^step {step}, obs: expected stacked observations \[2, ...\], one of each environment, got {came}"
        with pytest.raises(ObservationError, match=message):
            Collector(VectorSource(envs), policy).gather(2)


def test_a_policy_acts_in_environments_of_its_own_spaces_alone() -> None:
    source = make_source(EnvSpec("CartPole-v1"), 1)
    mine = small_policy(source.observation_space, source.action_space)
    require_same_spaces(mine, source.observation_space, source.action_space, "CartPole-v1")
    with pytest.raises(
        CheckpointError, match=r"the action space of CartPole-v1 is Discrete\(2\), but .* Discrete\(3\)"
    ):
        require_same_spaces(
            small_policy(source.observation_space, spaces.Discrete(3)),
            source.observation_space,
            source.action_space,
            "CartPole-v1",
        )
    with pytest.raises(
        CheckpointError, match=r"the observation space of CartPole-v1 is Box.* trained with Discrete\(3\)"
    ):
        require_same_spaces(
            small_policy(spaces.Discrete(3), source.action_space),
            source.observation_space,
            source.action_space,
            "CartPole-v1",
        )
