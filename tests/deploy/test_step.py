"""What goes into a file and comes out, before anything is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Tuple

from anyspace import DQN, PPO
from anyspace.deploy.ports import Port
from anyspace.deploy.step import PolicyStep
from anyspace.deploy.tracing import TracingRuntime, traceable
from anyspace.distributions import DiagGaussian
from anyspace.errors import ExportError
from anyspace.maths.xp import xp
from anyspace.policy.policy import Policy
from anyspace.spaces import Repeated, Simplex
from tests.deploy.cases import pairs, play, small_policy
from tests.support.catalogue import ACTION_SPACES, OBSERVATION_SPACES
from tests.support.table import ACTIONS, Chances

BOX, CHOICE = Box(-1, 1, (3,)), Discrete(2)


def traced(step: PolicyStep, given: dict[str, Any]) -> dict[str, Any]:
    runtime = step.policy.runtime
    assert isinstance(runtime, TracingRuntime)
    with runtime.tracing(), torch.no_grad():
        found = step({name: torch.from_numpy(np.array(array)) for name, array in given.items()})
    return {name: tensor.numpy() for name, tensor in found.items()}


def step_of(policy: Policy, rows: int = 1, *, stochastic: bool = False) -> PolicyStep:
    return PolicyStep(traceable(policy), rows, stochastic=stochastic)


@pytest.mark.parametrize(("observation", "action", "memory"), list(pairs(8)))
def test_a_step_acts_and_remembers_as_the_policy_does(observation: str, action: str, memory: str) -> None:
    policy = small_policy(OBSERVATION_SPACES[observation], ACTION_SPACES[action], memory)
    step = step_of(policy)
    play(policy, step, lambda given: traced(step, given), steps=8)


def named(ports: list[Port]) -> dict[str, tuple[tuple[int, ...], str]]:
    return {port.name: (port.shape, port.dtype) for port in ports}


def test_names_shapes_and_types() -> None:
    space = Dict({"a/b": Discrete(3, start=5), "items": Repeated(Box(-1, 1, (2,)), 3), "bits": MultiBinary(2)})
    policy = small_policy(space, Tuple([Discrete(4), Box(0, 9, (2,), np.float64)]), "LSTM")
    step = step_of(policy, rows=2)
    assert named(step.inputs) == {
        "obs/a~1b": ((2,), "int64"),
        "obs/bits": ((2, 2), "int8"),
        "obs/items/length": ((2,), "int32"),
        "obs/items/*": ((2, 3, 2), "float32"),
        "prev_reward": ((2,), "float32"),
        "is_first": ((2,), "bool"),
        "memory/actions": ((2, 3), "float32"),
        "memory/state_0": ((2, 8), "float32"),
        "memory/state_1": ((2, 8), "float32"),
    }
    assert named(step.outputs) == {
        "action/0": ((2,), "int64"),
        "action/1": ((2, 2), "float64"),
        "next_memory/actions": ((2, 3), "float32"),
        "next_memory/state_0": ((2, 8), "float32"),
        "next_memory/state_1": ((2, 8), "float32"),
    }


def test_several_steps_have_an_axis_and_the_latest_reward_comes_by_itself() -> None:
    step = step_of(small_policy(BOX, CHOICE, "GTrXL"))
    memory = named(step.memory)
    assert memory["memory/state_0"] == ((1, 4, 8), "float32")
    assert memory["memory/actions"] == ((1, 2), "int64")
    assert memory["memory/rewards"] == ((1, 2), "float32")


def test_where_an_episode_begins_it_does_not_matter_what_is_remembered() -> None:
    step = step_of(small_policy(BOX, CHOICE, "GTrXL"), rows=2)
    rng = np.random.default_rng(0)
    given = {port.name: rng.normal(size=port.shape).astype(port.dtype) for port in step.inputs}
    given["is_first"] = np.array([True, False])
    other = {**given, **{port.name: np.zeros_like(given[port.name]) for port in step.memory}}
    one, two = traced(step, given), traced(step, other)
    assert (one["next_memory/state_0"][0] == two["next_memory/state_0"][0]).all()
    assert (one["next_memory/state_0"][1] != two["next_memory/state_0"][1]).any()


@pytest.mark.parametrize("where", ["infos", "observation"])
def test_masks_are_an_input_or_a_part_of_the_observation_and_respected(where: str) -> None:
    if where == "infos":
        policy = PPO(lambda: Chances(ACTIONS["Discrete"], True), model={"fcnet_hiddens": [8]}, preset="none").policy
        name, dtype = "action_mask", "bool"
    else:
        policy = small_policy(Dict(action_mask=MultiBinary(3), x=BOX), ACTIONS["Discrete"])
        name, dtype = "obs/action_mask", "int8"
    step = step_of(policy, rows=3)
    given = {port.name: port.zeros() for port in step.inputs}
    given[name] = np.eye(3).astype(dtype)
    np.testing.assert_array_equal(traced(step, given)["action"], [1, 2, 3])  # Discrete(3, start=1)


def test_numbers_outside_their_bounds_are_clipped_where_the_policy_clips() -> None:
    step = step_of(small_policy(Box(-1, 1, (3,)), Box(-1, 1, (2,)), out_of_bounds="clip"), rows=2)
    action = traced(step, {"obs": np.array([[5, -7, 0.5], [1, -1, 0.5]], np.float32)})["action"]
    np.testing.assert_array_equal(action[0], action[1])


def test_noise_is_named_by_how_it_is_drawn() -> None:
    space = Tuple([Discrete(3), Box(-1, 1, (2,)), MultiBinary(2)])
    step = step_of(small_policy(BOX, space), stochastic=True)
    (port,) = (port for port in step.inputs if port.role == "noise")
    assert port.noise == (("gumbel", 3), ("standard_normal", 2), ("gumbel", 4))
    assert port.shape == (1, 9)


def test_samples_follow_the_noise() -> None:
    step = step_of(small_policy(BOX, Discrete(3)), rows=3, stochastic=True)
    given = {"obs": np.zeros((3, 3), np.float32), "noise": 100 * np.eye(3, dtype=np.float32)}
    np.testing.assert_array_equal(traced(step, given)["action"], [0, 1, 2])


class Doubled(DiagGaussian):
    """Draws noise of a kind of its own: twice as wide, so that a Gumbel's mark must not be taken for it."""

    def standard_noise(self, rng: Any, steps: int) -> Any:
        return 2 * super().standard_noise(rng, steps)


class OfGamma(DiagGaussian):
    """Draws noise by another function of the random source."""

    def standard_noise(self, rng: Any, steps: int) -> Any:
        return xp(self.mean).gamma(rng, xp(self.mean).broadcast_to(self.mean * 0 + 1, (steps, *self.mean.shape)))


@pytest.mark.parametrize("kind", [Doubled, OfGamma])
def test_noise_of_other_kinds_is_refused(kind: type[DiagGaussian]) -> None:
    policy = small_policy(BOX, Box(-1, 1, (2,)), model={"custom_action_dist": kind})
    with pytest.raises(ExportError, match=f"samples of {kind.__name__} are not made of numbers"):
        step_of(policy, stochastic=True)


def test_samples_that_are_not_made_of_noise_are_refused() -> None:
    with pytest.raises(ExportError, match="samples of Dirichlet are not made of numbers"):
        step_of(small_policy(BOX, Simplex((3,))), stochastic=True)
    values = DQN(lambda: Chances(Discrete(3), False), model={"fcnet_hiddens": [8]}, preset="none").policy
    with pytest.raises(ExportError, match="explores by EpsilonGreedy"):
        step_of(values, stochastic=True)
