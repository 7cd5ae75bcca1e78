"""Written files: onnxruntime acts as the policy does, and what cannot be written is said."""

from __future__ import annotations

import copy
import errno
import importlib.util
import json
import os
import re
import runpy
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import gymnasium as gym
import numpy as np
import onnxruntime
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, OneOf, Tuple
from packaging.version import Version
from torch import nn

from anyspace import DQN, PPO, SAC
from anyspace.algorithms.saving import trust
from anyspace.cli import main
from anyspace.deploy import checking
from anyspace.deploy.step import PolicyStep
from anyspace.deploy.tracing import traceable, write_graph
from anyspace.errors import ExportError
from anyspace.models import TorchModelV2
from anyspace.spaces import BoundedSequence, Encoder
from anyspace.spaces.serialize import from_json, same_space
from tests.deploy.cases import observations, pairs, play, small_policy
from tests.support.catalogue import ACTION_SPACES, OBSERVATION_SPACES
from tests.support.table import ACTIONS, MEMORIES, SETTINGS, Chances

EXAMPLE = Path(__file__).parents[2] / "examples/act_with_onnx.py"
BOX = Box(-1, 1, (3,))


def onnx_policy(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("act_with_onnx", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.OnnxPolicy(path)


def runner(step: PolicyStep, path: Path) -> Callable[[dict[str, Any]], dict[str, Any]]:
    write_graph(step, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [port.name for port in step.outputs]
    return lambda given: dict(zip(names, session.run(names, given), strict=True))


WRITES_ATTENTION = Version(torch.__version__) >= Version("2.11") and Version(version("onnxscript")) >= Version("0.7")
"""Whether PyTorch's exporter can write a GTrXL."""

FILES = [
    pytest.param("box", "discrete", "GTrXL", marks=pytest.mark.skipif(not WRITES_ATTENTION, reason="older exporter")),
    *(pytest.param(*pair.values, marks=pytest.mark.fuzz, id=pair.id) for pair in pairs(1)),
]
"""Spaces and memories of files that onnxruntime runs."""


@pytest.mark.parametrize(("observation", "action", "memory"), FILES)
def test_a_file_acts_and_remembers_as_the_policy_does(
    observation: str, action: str, memory: str, tmp_path: Path
) -> None:
    policy = small_policy(OBSERVATION_SPACES[observation], ACTION_SPACES[action], memory)
    step = PolicyStep(traceable(policy), 1, stochastic=False)
    play(policy, step, runner(step, tmp_path / "policy.onnx"), steps=20)


def test_a_file_is_all_that_acting_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    algo = PPO(
        lambda: Chances(ACTIONS["Tuple"], True),
        model={"fcnet_hiddens": [8], "use_gru": True, "lstm_cell_size": 8, "lstm_use_prev_reward": True},
        observation_filter="MeanStdFilter",
        train_batch_size=64,
        minibatch_size=64,
        num_epochs=1,
        preset="none",
    )
    algo.train()
    path = tmp_path / "policy.onnx"

    def roaming() -> Chances:
        os.chdir(tmp_path.parent)
        return Chances(ACTIONS["Tuple"], True)

    monkeypatch.chdir(tmp_path)
    done = algo.policy.export(path.name, env=roaming, observations=50, episodes=3)
    assert (done.path, done.contract, done.episodes) == (Path("policy.onnx"), Path("policy.json"), 3)
    assert done.steps - done.played == 50
    assert done.choices_that_differ == 0
    assert done.largest_difference < 1e-5

    contract = json.loads(done.contract.read_text())
    assert same_space(from_json(contract["observation_space"]), algo.policy.observation_space)
    assert [one["role"] for one in contract["inputs"]] == [
        "observation", "action_mask", "prev_reward", "is_first", "memory",
    ]  # fmt: skip
    assert contract["inputs"][1]["options"] == [[3], []]
    assert contract["checked"]["steps"] == done.steps

    acting, rng, state = onnx_policy(path), np.random.default_rng(0), None
    for t, obs in enumerate(observations(BOX, 12)):
        if t == 6:
            acting.reset()
            state = None
        mask, reward = rng.random(3) < 0.5, float(rng.normal())
        mask[t % 3] = True
        with pytest.raises(
            ValueError, match=r"takes a new action_mask with each observation: act\(\.\.\., action_mask="
        ):
            acting.act(obs, prev_reward=reward)
        if t % 6:  # no step came before an episode's first
            with pytest.raises(ValueError, match="takes a new prev_reward"):
                acting.act(obs, action_mask=mask)
        found = acting.act(obs, action_mask=mask, prev_reward=reward)
        before = {} if state is None else {"prev_reward": reward}
        action, state = algo.policy.compute_single_action(obs, state, mask=mask, **before)
        assert mask[found["action/0"]]
        assert found["action/0"] == action[0]
        np.testing.assert_allclose(found["action/1"], action[1], atol=1e-5)
    algo.close()


def test_the_example_plays_an_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(PPO("CartPole-v1", model={"fcnet_hiddens": [4]}, preset="none")) as algo:
        algo.policy.export(tmp_path / "policy.onnx", observations=10)
    monkeypatch.setattr(sys, "argv", [EXAMPLE.name, str(tmp_path / "policy.onnx"), "CartPole-v1"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert re.fullmatch(r"return \d+\n", capsys.readouterr().out)
    with pytest.raises(ValueError, match=r"^obs is \(2, 4\), not \[1, 4\]: is a wrapper missing\?$"):
        onnx_policy(tmp_path / "policy.onnx").act(np.zeros((2, 4)))
    monkeypatch.setattr(sys, "argv", [EXAMPLE.name])
    with pytest.raises(SystemExit, match="usage"):
        runpy.run_path(str(EXAMPLE), run_name="__main__")


@pytest.mark.parametrize(
    ("kind", "actions", "masked", "settings"),
    [
        (DQN, "MultiDiscrete", True, {"noisy": True, "num_atoms": 5, "hiddens": [8]}),
        pytest.param(
            SAC, "Tuple", False, {"model": {**MEMORIES["LSTM"], "lstm_use_prev_action": True}}, marks=pytest.mark.fuzz
        ),
    ],
    ids=["dqn", "sac"],
)
def test_a_trained_algorithm_of_replay_is_exported(
    kind: type[DQN] | type[SAC], actions: str, masked: bool, settings: dict[str, Any], tmp_path: Path
) -> None:
    settings = {**SETTINGS[kind.__name__], "model": {"fcnet_hiddens": [8]}, **settings}
    env = Chances(ACTIONS[actions], masked)
    with closing(kind(lambda: copy.deepcopy(env), settings, preset="none")) as algo:
        algo.train()
        done = algo.policy.export(tmp_path / "policy.onnx", env=algo.env_spec, observations=40, episodes=3)
    assert (done.episodes, done.choices_that_differ) == (3, 0)
    assert done.steps > 40
    assert done.largest_difference < 1e-4


def test_a_file_takes_what_an_encoder_gives_with_starts(tmp_path: Path) -> None:
    pairs = MultiDiscrete([3, 2], start=[4, -1])
    space = Dict(
        kind=Discrete(3, start=5),
        pairs=BoundedSequence(pairs, 3),
        either=OneOf([Discrete(4, start=2), pairs]),
    )
    policy, path = small_policy(space, Box(-1, 1, (2,)), model={"fcnet_hiddens": [8]}), tmp_path / "policy.onnx"
    policy.export(path, observations=2)
    contract = json.loads((tmp_path / "policy.json").read_text())
    assert {one["name"]: one.get("counts_from", 0) for one in contract["inputs"]} == {
        "obs/either/choice": 0,
        "obs/either/option_0": 2,
        "obs/either/option_1": [4, -1],
        "obs/kind": 5,
        "obs/pairs/length": 0,
        "obs/pairs/*": [4, -1],
    }
    encoder, session = Encoder(from_json(contract["observation_space"])), onnxruntime.InferenceSession(str(path))
    for observation in observations(space, 20):
        parts = encoder.with_starts(encoder.single(observation))
        given = {
            one["name"]: part[None].astype(one["dtype"]) for one, part in zip(contract["inputs"], parts, strict=True)
        }
        assert given["obs/kind"] == [observation["kind"]]
        expected = policy.compute_single_action(observation)
        np.testing.assert_allclose(session.run(["action"], given)[0][0], expected, atol=1e-5)


def test_the_command_samples_several_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    algo = PPO("CartPole-v1", model={"fcnet_hiddens": [8]}, preset="none")
    algo.save(tmp_path / "run")
    words = [str(tmp_path / "run"), str(tmp_path / "policy.onnx"), "--stochastic", "--rows", "3"]
    assert main(["export", *words, "--observations", "30", "--episodes", "2"]) == 0
    printed = capsys.readouterr().out
    assert "episodes: largest difference 0, 0 of " in printed
    assert f"contract: {tmp_path / 'policy.json'}" in printed
    contract = json.loads((tmp_path / "policy.json").read_text())
    assert contract["rows"] == 3
    assert contract["inputs"][-1]["columns"] == [{"kind": "gumbel", "count": 2}]
    session = onnxruntime.InferenceSession(str(tmp_path / "policy.onnx"))
    given = {"obs": np.zeros((3, 4), np.float32), "noise": np.array([[9, 0], [0, 9], [9, 0]], np.float32)}
    np.testing.assert_array_equal(session.run(["action"], given)[0], [0, 1, 0])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["policy.json", "policy.onnx", "run"]


def test_episodes_that_do_not_end_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anyspace.deploy.checking.LONGEST", 4)
    with closing(PPO("CartPole-v1", model={"fcnet_hiddens": [8]}, preset="none")) as algo:
        algo.save(tmp_path / "run")
    words = [str(tmp_path / "run"), str(tmp_path / "policy.onnx"), "--rows", "2"]
    assert main(["export", *words, "--observations", "2", "--episodes", "3"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "10 steps, on random observations and 8 steps of the environment, in which 0 of 3 episodes ended" in printed
    assert json.loads((tmp_path / "policy.json").read_text())["checked"]["steps_of_environment"] == 8


class Mine(PPO):
    """An algorithm of a user's."""


def test_the_command_loads_by_the_class_that_is_handed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(Mine("CartPole-v1", model={"fcnet_hiddens": [8]}, preset="none")) as algo:
        algo.save(tmp_path / "run")
    words = ["export", str(tmp_path / "run"), str(tmp_path / "policy.onnx"), "--observations", "3", "--episodes", "0"]
    trust._built_with.clear()
    assert main(words) == 2
    assert "To import code is to run it" in capsys.readouterr().err
    assert main([*words, "--algo", f"{__name__}:Mine"]) == 0


class Linear(TorchModelV2, nn.Module):
    """Logits of inputs that a subclass may change."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.layer, self.calls = nn.Linear(3, self.num_outputs), 0

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        return self.layer(self.changed(input_dict["obs_flat"])), state

    def changed(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def value_function(self) -> torch.Tensor:
        return self.last_output()[:, 0]


class Branches(Linear):
    def changed(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


class Exotic(Linear):
    def changed(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.i1(x)


class Counts(Linear):
    def changed(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x * self.calls


def test_keys_that_a_file_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    alike = Dict({1: BOX, "1": BOX})
    for policy in (small_policy(alike, Discrete(2)), small_policy(BOX, Dict({1: Discrete(2), "1": Discrete(3)}))):
        with pytest.raises(ExportError, match=r"two parts of the space are called '(obs|action)/1' in a file"):
            policy.export(tmp_path / "policy.onnx")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param(Branches, r"stops at .*test_export.py:\d+: `return x if x.sum\(\) > 0 else -x`", id="branch"),
        pytest.param(Exotic, r"uses the operation prims\.bessel_i1.*, which ONNX does not", id="operation"),
        pytest.param(Counts, "differs from the policy: action by up to", marks=pytest.mark.fuzz, id="counter"),
    ],
)
def test_models_that_cannot_be_exported(model: type[Linear], message: str, tmp_path: Path) -> None:
    policy = small_policy(BOX, Box(-1, 1, (2,)), model={"custom_model": model})
    with pytest.raises(ExportError, match=message):
        policy.export(tmp_path / "policy.onnx", observations=20)
    assert not list(tmp_path.iterdir())


def test_wrong_words_are_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PPO("CartPole-v1", model={"fcnet_hiddens": [8]}, preset="none").save(tmp_path / "run")
    run, file = str(tmp_path / "run"), str(tmp_path / "policy.onnx")
    (tmp_path / "there.onnx").mkdir()
    for words, said in (
        ((str(tmp_path / "nowhere"), file), "no checkpoint at"),
        ((run, str(tmp_path / "a/b.onnx")), "there is no folder"),
        ((run, str(tmp_path / "there.onnx")), "is a folder"),
        ((run, str(tmp_path / "policy.pt")), "ends in .onnx"),
        ((run, file, "--rows", "0"), "rows is 0"),
        ((run, file, "--observations", "0"), "observations is 0"),
    ):
        assert main(["export", *words]) == 2
        assert said in capsys.readouterr().err


def test_a_graph_that_has_no_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr("anyspace.deploy.tracing.write_graph", Mock(side_effect=full))
    algo = PPO("CartPole-v1", model={"fcnet_hiddens": [8]}, preset="none")
    with closing(algo), pytest.raises(ExportError, match=r"policy\.onnx cannot be written: No space left on device"):
        algo.policy.export(tmp_path / "policy.onnx")
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_takes_no_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = small_policy(BOX, Discrete(2))
    with pytest.raises(ExportError, match="seed is -1, but a seed is not negative"):
        policy.export(tmp_path / "policy.onnx", seed=-1)
    full = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    monkeypatch.setattr("tempfile.mkdtemp", Mock(side_effect=full))
    with pytest.raises(ExportError, match=r"policy\.onnx cannot be written: Permission denied"):
        policy.export(tmp_path / "policy.onnx")


def test_no_file_but_a_contract_is_replaced(tmp_path: Path) -> None:
    algo, told = PPO("CartPole-v1", model={"fcnet_hiddens": [8]}, preset="none"), tmp_path / "state.json"
    algo.save(tmp_path)
    for content in (told.read_text(), "[]", "no JSON"):
        told.write_text(content)
        with pytest.raises(ExportError, match=r"state\.json, but a file of that name .* such as .*state-policy\.onnx"):
            algo.policy.export(tmp_path / "state.onnx")
        assert told.read_text() == content
        assert not (tmp_path / "state.onnx").exists()
    for _ in range(2):
        algo.policy.export(tmp_path / "policy.onnx", observations=2)
    algo.close()


def test_a_vector_environment_has_as_many_environments_as_the_file_takes_rows(tmp_path: Path) -> None:
    algo = PPO("CartPole-v1", model={"fcnet_hiddens": [8]}, preset="none")
    envs = gym.make_vec("CartPole-v1", num_envs=3)
    with pytest.raises(ExportError, match="of 3 environments, but the file takes 2 rows at a time: give rows=3"):
        algo.policy.export(tmp_path / "policy.onnx", env=envs, rows=2, observations=2)
    assert algo.policy.export(tmp_path / "policy.onnx", env=envs, rows=3, observations=2).episodes >= 1
    algo.close()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("anyspace.deploy.tracing.find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"takes onnx, onnxscript, onnxruntime: pip install 'anyspace\[export\]'"):
        small_policy(BOX, Discrete(2)).export(tmp_path / "policy.onnx")


def test_differences_count_by_what_a_number_may_be() -> None:
    found = checking.Comparison(steps=1000, choices=1000, choices_that_differ=2)
    found.require_equal()
    with pytest.raises(ExportError, match="in 3 of 1,000 choices"):
        checking.Comparison(steps=1000, choices=1000, choices_that_differ=3).require_equal()
    with pytest.raises(ExportError, match=r"action/1 by up to 0\.5"):
        checking.Comparison(
            steps=10, worst=1.5, worst_at="action/1", worst_by=0.5, largest_difference=3.0
        ).require_equal()


def test_the_worst_difference_is_that_of_its_place() -> None:
    player = object.__new__(checking.Player)
    player.found, player._scales = checking.Comparison(), {}
    player._take("large", np.float32([1e6 + 3, 0]), np.float32([1e6, 0]))
    player._take("small", np.float32([[0, 0.5], [0, 0]]), np.zeros((2, 2), np.float32))
    assert (player.found.worst_at, player.found.worst_by, player.found.largest_difference) == ("small", 0.5, 3.0)
    player._take("none", np.float32([0, np.nan]), np.float32([0, 0]))
    player._take("large", np.float32([1e6]), np.float32([0]))
    assert (player.found.worst_at, player.found.worst) == ("none", np.inf)
    with pytest.raises(ExportError, match="none by up to nan"):
        player.found.require_equal()


def test_equal_infinities_do_not_differ() -> None:
    player = object.__new__(checking.Player)
    player.found, player._scales = checking.Comparison(), {}
    player._take("equal", np.float32([np.inf, -np.inf, 1]), np.float32([np.inf, -np.inf, 1]))
    assert (player.found.worst, player.found.largest_difference) == (0.0, 0.0)
    player._take("apart", np.float32([np.inf, 0]), np.float32([-np.inf, 0]))
    with pytest.raises(ExportError, match="apart by up to inf"):
        player.found.require_equal()


@pytest.mark.fuzz
@pytest.mark.parametrize("name", list(ACTION_SPACES))
def test_samples_of_every_action_space(name: str, tmp_path: Path) -> None:
    policy, path = small_policy(BOX, ACTION_SPACES[name]), tmp_path / "policy.onnx"
    if "simplex" in name or "shares" in name:
        with pytest.raises(ExportError, match="are not made of numbers that can be drawn ahead"):
            policy.export(path, stochastic=True)
    else:
        assert policy.export(path, stochastic=True, observations=200).choices_that_differ == 0


@pytest.mark.fuzz
@pytest.mark.parametrize(
    ("space", "model"),
    [
        (Tuple([Discrete(3), Box(-1, 1, (2,))]), {"autoregressive_actions": True}),
        (MultiDiscrete([3, 2]), {"autoregressive_actions": True, "use_gru": True}),
        (Discrete(4), {"parametric_actions": "learned", "action_embedding_dim": 4}),
        (Box(-1, 1, (2,)), {"free_log_std": True, "use_lstm": True}),
    ],
)
def test_heads(space: Any, model: dict[str, Any], tmp_path: Path) -> None:
    policy = small_policy(Dict(x=BOX, picture=Box(0, 255, (10, 10, 3), np.uint8)), space, model=model)
    assert policy.export(tmp_path / "policy.onnx", observations=200).choices_that_differ == 0
