"""What a checkpoint holds: the parts of an algorithm by name, and checkpoints of the format before."""

from __future__ import annotations

import json
import shutil
from collections import Counter, deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers.utils import RunningMeanStd
from torch import nn

from anyspace import PPO, Algorithm
from anyspace.algorithms.saving.checkpoints import _packed, _unpacked
from anyspace.data.seeds import environment_seed
from anyspace.errors import CheckpointError, ConfigError
from anyspace.execution.checkpoint import read_checkpoint, read_state
from anyspace.models import FullyConnectedNetwork
from anyspace.models.torch.runtime import TorchRuntime
from tests.support.tasks import Endless

SMALL: dict[str, Any] = {
    "train_batch_size": 16,
    "minibatch_size": 8,
    "num_epochs": 1,
    "seed": 0,
    "model": {"fcnet_hiddens": [4]},
}


class Memory:
    """A part that says itself what is to be saved."""

    def __init__(self) -> None:
        self.recent, self.table, self.name = [1, 2.5, None], np.zeros((2, 3)), "new"

    def state(self) -> dict[str, Any]:
        return {"recent": list(self.recent), "table": self.table.copy(), "name": self.name, "by_step": {3: self.table}}

    def load_state(self, state: dict[str, Any]) -> None:
        self.recent, self.table, self.name = state["recent"], state["table"].copy(), state["name"]
        assert list(state["by_step"]) == [3], "keys that are no texts stay what they are"
        np.testing.assert_array_equal(state["by_step"][3], self.table)


class Rich(PPO):
    """Keeps one of everything between iterations, and trains a network beside the policy's."""

    def setup(self) -> None:
        super().setup()
        self.sums = np.zeros(3)
        self.level, self.count = 1.5, 2
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.critic = nn.Sequential(nn.Linear(1, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
        self.optimiser = torch.optim.Adam(self.critic.parameters(), lr=0.01, betas=(0.8, 0.9))
        self.memory = Memory()
        self.label = "nothing to save"

    def parts(self) -> dict[str, Any]:
        names = ("sums", "level", "count", "critic", "optimiser", "memory")
        return {**super().parts(), **{name: getattr(self, name) for name in names}}

    def updates(self, policy: Any, trajectory: Any) -> Any:
        overall = yield from super().updates(policy, trajectory)
        rewards = torch.from_numpy(trajectory.rewards.reshape(-1, 1)) + torch.arange(16.0)[:, None]
        for _ in range(3):
            self.optimiser.zero_grad()
            (self.critic(rewards) - self.level).square().mean().backward()
            self.optimiser.step()
        self.sums += trajectory.rewards.sum() * np.arange(3)
        self.level, self.count = self.level * 0.5, self.count + 1
        self.memory.recent.append(self.count)
        self.memory.table, self.memory.name = self.memory.table + self.count, f"after {self.count}"
        return overall


def everything(algorithm: Rich) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    state, tensors = algorithm.snapshot()
    clock = state["parts"]["counters"]["counters"]
    clock.pop("time_total_s")
    return state, tensors


def require_equal(one: Rich, other: Rich) -> None:
    (state, tensors), (its_state, its_tensors) = everything(one), everything(other)
    assert state == its_state
    assert tensors.keys() == its_tensors.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(value, its_tensors[name], err_msg=name)


def test_parts_of_every_kind_are_saved_and_loaded(tmp_path: Path) -> None:
    algorithm = Rich(Endless, SMALL, preset="none")
    algorithm.train()
    algorithm.train()
    algorithm.save(tmp_path)
    loaded = Rich.load(tmp_path, env=Endless)
    assert isinstance(loaded, Rich)
    np.testing.assert_array_equal(loaded.sums, algorithm.sums)
    assert loaded.sums.any()
    assert (loaded.level, loaded.count) == (0.375, 4)
    assert (type(loaded.level), type(loaded.count)) == (float, int)
    assert loaded.memory.recent == [1, 2.5, None, 3, 4]
    assert loaded.memory.name == "after 4"
    np.testing.assert_array_equal(loaded.memory.table, np.full((2, 3), 7.0))
    for name, value in algorithm.critic.state_dict().items():
        assert torch.equal(value, loaded.critic.state_dict()[name]), name
    mine, theirs = algorithm.optimiser.state_dict(), loaded.optimiser.state_dict()
    assert list(theirs["state"]) == list(mine["state"]) == list(range(6))
    for number, slots in mine["state"].items():
        for name, value in slots.items():
            assert torch.equal(value, theirs["state"][number][name])
    assert theirs["param_groups"][0]["lr"] == 0.01
    require_equal(algorithm, loaded)


def test_what_is_loaded_goes_on_like_what_was_saved(tmp_path: Path) -> None:
    first = Rich(Endless, SMALL, preset="none")
    first.train()
    first.save(tmp_path)
    pair = [Rich.load(tmp_path, env=Endless) for _ in range(2)]
    first.fleet.restart(environment_seed(first.seed, 1))  # a loaded run begins new episodes
    for algorithm in (first, *pair):
        algorithm.train()
    require_equal(pair[0], pair[1])  # type: ignore[arg-type]
    require_equal(first, pair[0])  # type: ignore[arg-type]


def test_the_names_of_parts_are_those_in_the_file(tmp_path: Path) -> None:
    Rich(Endless, SMALL, preset="none").save(tmp_path)
    state, tensors = read_checkpoint(tmp_path)
    assert state["format"] == 3
    own = {"sums", "level", "count", "critic", "optimiser", "memory"}
    assert state["parts"].keys() == {"policy", "learner", "rewards", "counters", "kl_coeff", "entropy_coeff", *own}
    assert {name.partition("/")[0] for name in tensors} <= state["parts"].keys()
    assert {"sums/value", "level/value", "critic/1.running_mean", "memory/table"} <= tensors.keys()


LEFT: dict[str, Callable[[], Any]] = {
    "array": lambda: np.zeros(2),
    "number": lambda: 1.5,
    "whole number": lambda: 3,
    "number of NumPy's": lambda: np.float32(1),
    "module": lambda: nn.Linear(1, 1),
    "optimiser": lambda: torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1),
    "stateful": Memory,
}


@pytest.mark.parametrize("kind", LEFT)
def test_what_setup_leaves_unnamed_is_refused_with_the_line_to_add(kind: str) -> None:
    class Forgets(PPO):
        def setup(self) -> None:
            super().setup()
            self.thing = LEFT[kind]()

    with pytest.raises(ConfigError) as caught:
        Forgets(Endless, SMALL, preset="none")
    assert str(caught.value) == (
        "Forgets.setup() sets self.thing, which a checkpoint would not hold. Name it in parts():"
        " return {**super().parts(), 'thing': self.thing}."
    )


def test_what_needs_no_saving_may_be_left_unnamed() -> None:
    class Plain(PPO):
        def setup(self) -> None:
            super().setup()
            self.text, self.flag, self.nothing, self.items = "a", True, None, [1, 2]
            self.function = len
            self.same = self.kl_coeff  # named already

    assert Plain(Endless, SMALL, preset="none").train()["training_iteration"] == 1


class One(PPO):
    more: tuple[str, ...] = ("alpha",)

    def setup(self) -> None:
        super().setup()
        for name in self.more:
            setattr(self, name, 1.0)

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), **{name: getattr(self, name) for name in self.more}}


class Two(One):
    more = ("beta", "gamma_")


def test_a_checkpoint_with_other_parts_names_both_lists(tmp_path: Path) -> None:
    One(Endless, SMALL, preset="none").save(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        Two.load(tmp_path, env=Endless)
    common = "counters, entropy_coeff, {}kl_coeff, learner, policy, rewards"
    assert str(caught.value) == (
        f"{tmp_path} holds the parts alpha, {common.format('')}, but the algorithm has beta,"
        f" {common.format('gamma_, ')}; load it with the class and the configuration that saved it."
    )


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"x": object()}, "of type object is no array"),
        ({"x": {1, 2}}, "of type set is no array"),
        ({"x": [1, {"deep": object()}]}, "of type object is no array"),
        ({"x": float("nan")}, "not JSON compliant"),
    ],
    ids=["object", "set", "deep", "nan"],
)
def test_state_that_cannot_be_saved_is_refused(state: dict[str, Any], reason: str) -> None:
    class Holds(Memory):
        def state(self) -> dict[str, Any]:
            return state

    class Keeps(PPO):
        def setup(self) -> None:
            super().setup()
            self.memory = Holds()

        def parts(self) -> dict[str, Any]:
            return {**super().parts(), "memory": self.memory}

    with pytest.raises(ConfigError, match=r"^parts\(\)\['memory'\]: its state cannot be saved: ") as caught:
        Keeps(Endless, SMALL, preset="none")
    assert reason in str(caught.value)
    assert "Let it hold arrays, numbers, texts, None, and lists and dicts of those." in str(caught.value)


def test_a_part_that_is_nothing_to_save_is_refused() -> None:
    class Keeps(PPO):
        def parts(self) -> dict[str, Any]:
            return {**super().parts(), "thing": object()}

    with pytest.raises(
        ConfigError, match=r"parts\(\)\['thing'\] is of type object, which has neither state\(\) and load_"
    ):
        Keeps(Endless, SMALL, preset="none")


def edited(folder: Path, **changes: Any) -> None:
    file = folder / "state.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_an_unknown_format_says_which_version_wrote_it(tmp_path: Path) -> None:
    PPO(Endless, SMALL, preset="none").save(tmp_path)
    edited(tmp_path, format=4, version="9.9.1")
    for read in (PPO.load, Algorithm.load, PPO(Endless, SMALL, preset="none").load_weights):
        with pytest.raises(
            CheckpointError,
            match=r"of format 4, written by anyspace 9\.9\.1\. This is anyspace [\w.+]+, which reads the formats 1, 2",
        ):
            read(tmp_path)


def keeping(name: str, first: Any, change: Any, part: str = "") -> type[PPO]:
    """Return an algorithm that keeps one thing, and changes it in every round."""

    class Keeps(PPO):
        def setup(self) -> None:
            super().setup()
            setattr(self, name, first())

        def parts(self) -> dict[str, Any]:
            return {**super().parts(), part or name: getattr(self, name)}

        def updates(self, policy: Any, trajectory: Any) -> Any:
            setattr(self, name, change(getattr(self, name)))
            return (yield from super().updates(policy, trajectory))

    return Keeps


def appended(to: Any) -> Any:
    to.append(2.5)
    return to


@pytest.mark.parametrize(
    ("first", "change"),
    [
        (lambda: 0.0, lambda old: old + np.float32(0.1)),
        (lambda: np.float32(0), lambda old: old + np.float32(0.1)),
        (lambda: 0, lambda old: old + np.int64(3)),
        (lambda: np.bool_(False), lambda old: np.bool_(True)),
        (lambda: "warm", lambda old: "up"),
        (lambda: [1], appended),
        (lambda: deque(maxlen=2), appended),
        (Counter, lambda old: old + Counter("ab")),
        (lambda: np.zeros(1), lambda old: np.append(old, 1.5)),
        (lambda: np.zeros(2, np.int64), lambda old: old + 0.7),
        (lambda: torch.zeros(3), lambda old: torch.ones(1)),
        (lambda: torch.zeros(2), lambda old: torch.full((2,), 0.3, dtype=torch.float64)),
    ],
    ids=lambda value: "",
)
def test_what_changes_its_kind_comes_back_as_it_was(tmp_path: Path, first: Any, change: Any) -> None:
    kind = keeping("thing", first, change)
    with closing(kind(Endless, SMALL, preset="none")) as algorithm:
        algorithm.train()
        algorithm.save(tmp_path)
    mine, loaded = algorithm.thing, kind.load(tmp_path, env=Endless).thing  # type: ignore[attr-defined]
    assert str(loaded) == str(mine)
    plain = {np.float64: float, np.int64: int, np.bool_: bool}
    assert type(loaded) is plain.get(type(mine), type(mine))
    assert type(loaded) in plain.values() or getattr(loaded, "dtype", None) == getattr(mine, "dtype", None)


def test_numbers_of_earlier_checkpoints_are_plain(tmp_path: Path) -> None:
    kind = keeping("thing", lambda: "text", lambda old: old)  # written as such numbers of NumPy's were: into the JSON
    kind(Endless, SMALL, preset="none").save(tmp_path)
    edited(tmp_path, parts={**read_state(tmp_path)["parts"], "thing": {"value": 0.25}})
    loaded = keeping("thing", lambda: 0.0, lambda old: old).load(tmp_path, env=Endless)
    assert loaded.thing == 0.25  # type: ignore[attr-defined]


def test_what_parts_cannot_write_into_is_named_as_its_attribute_is(tmp_path: Path) -> None:
    for first in (lambda: 0, lambda: "text"):
        with pytest.raises(ConfigError, match=r"^Keeps\.parts\(\)\['count'\] is .*, which is not what self\.count is"):
            keeping("n", first, lambda old: old, part="count")(Endless, SMALL)
    kind = keeping("n", lambda: np.zeros(1), lambda old: np.append(old, 1.0), part="count")
    with closing(kind(Endless, SMALL, preset="none")) as algorithm:
        algorithm.train()
        algorithm.save(tmp_path)
    with pytest.raises(CheckpointError, match=r"count: .* \(shapes \(1,\) and \(2,\)\), and it is not self\.count"):
        kind.load(tmp_path, env=Endless)


def test_what_an_optimiser_holds_keeps_its_shape(tmp_path: Path) -> None:
    kind = keeping("thing", lambda: nn.Parameter(torch.zeros(2)), lambda old: nn.Parameter(torch.zeros(3)))
    with closing(kind(Endless, SMALL, preset="none")) as algorithm:
        algorithm.train()
        algorithm.save(tmp_path)
    with pytest.raises(CheckpointError, match=r"thing: it is a Parameter of shape \(2,\) and float32, but"):
        kind.load(tmp_path, env=Endless)


def test_a_state_that_is_no_dict_is_refused() -> None:
    class Silent(Memory):
        def state(self) -> Any:
            return None

    with pytest.raises(ConfigError, match=r"^parts\(\)\['thing'\]: Silent\.state\(\) must return a dict .* None"):
        keeping("thing", Silent, lambda old: old)(Endless, SMALL)


def test_a_list_holds_plain_values_alone() -> None:
    with pytest.raises(ConfigError, match=r"^parts\(\)\['thing'\]: a deque holds numbers, texts, None, arrays"):
        keeping("thing", lambda: deque([torch.zeros(1)]), lambda old: old)(Endless, SMALL)


# ------------------------------------------------------------------------------ checkpoints of format 1

FORMAT1 = Path(__file__).parent / "format1"
TOLD: dict[str, Any] = json.loads((FORMAT1 / "expected.json").read_text())
OLD = ("dense", "lstm", "gtrxl", "filter")

every_old_one = pytest.mark.parametrize("name", OLD)


def test_the_old_checkpoints_are_small() -> None:
    assert sorted(TOLD["expected"]) == sorted(OLD)
    assert sum(file.stat().st_size for file in FORMAT1.rglob("*") if file.is_file()) < 100_000
    assert {read_state(FORMAT1 / name)["format"] for name in OLD} == {1}


@every_old_one
def test_an_old_checkpoint_loads_and_acts_as_it_did(name: str) -> None:
    algorithm, told = Algorithm.load(FORMAT1 / name), TOLD["expected"][name]
    assert isinstance(algorithm, PPO)
    assert algorithm.timesteps_total == told["timesteps"]
    assert algorithm.training_iteration == told["iteration"]
    assert float(algorithm.kl_coeff) == told["kl_coeff"]
    assert float(algorithm.entropy_coeff) == algorithm.config.entropy_coeff == 0.01
    _, tensors = read_checkpoint(FORMAT1 / name)
    for key, value in algorithm.learner.state().items():
        np.testing.assert_array_equal(value, tensors[f"learner/{key}"], err_msg=key)
    state, actions = None, []
    for observation in TOLD["observations"]:
        obs = np.array(observation, np.float32)
        if algorithm.policy.views.remembers:
            action, state = algorithm.compute_single_action(obs, state)
        else:
            action = algorithm.compute_single_action(obs)
        actions.append(int(action))
    assert actions == told["actions"]
    assert len(set(actions)) == 2 or name == "dense", "else the actions would show little"


@every_old_one
def test_an_old_checkpoint_trains_on(name: str, tmp_path: Path) -> None:
    algorithm, told = Algorithm.load(FORMAT1 / name), TOLD["expected"][name]
    steps = {key: int(value) for key, value in algorithm.learner.state().items() if key.endswith("/step")}
    assert min(steps.values()) > 0
    before = algorithm.policy.weights()
    result = algorithm.train()
    assert result["training_iteration"] == told["iteration"] + 1
    assert result["timesteps_total"] == told["timesteps"] + result["timesteps_this_iter"]
    assert all(np.isfinite(value) for key, value in result["learner"].items() if key != "model")
    assert all(algorithm.learner.state()[key] > value for key, value in steps.items())
    after = algorithm.policy.weights()
    assert any(not np.array_equal(value, after[key]) for key, value in before.items() if key.startswith("model/"))
    # Saved anew it is one of today's.
    algorithm.save(tmp_path)
    assert read_state(tmp_path)["format"] == 3
    again = Algorithm.load(tmp_path)
    assert again.timesteps_total == algorithm.timesteps_total
    for key, value in algorithm.policy.state().items():
        np.testing.assert_array_equal(value, again.policy.state()[key])


class FrozenLogits(FullyConnectedNetwork):
    """Freezes a layer in its constructor."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.logits.requires_grad_(False)


def test_what_was_frozen_or_released_stays_so(tmp_path: Path) -> None:
    algorithm = PPO("CartPole-v1", {**SMALL, "model": {"custom_model": FrozenLogits, "fcnet_hiddens": [4]}})
    algorithm.train()
    model: Any = algorithm.policy.model
    model.encoder.requires_grad_(False)
    model.logits.requires_grad_(True)
    algorithm.train()
    algorithm.save(tmp_path)
    again = Algorithm.load(tmp_path)
    for name, value in algorithm.learner.state().items():
        np.testing.assert_array_equal(value, again.learner.state()[name], name)
    before = again.get_weights()
    again.train()
    changed = {name for name, value in again.get_weights().items() if not np.array_equal(value, before[name])}
    assert {"model/logits.weight", "model/value_head.weight"} < changed
    assert not any(name.startswith("model/encoder.") for name in changed)
    for opened in (algorithm, again):
        opened.close()


def test_a_framework_in_which_nothing_is_frozen_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(PPO("CartPole-v1", SMALL)) as algorithm:
        algorithm.policy.model.logits.requires_grad_(False)
        algorithm.save(tmp_path)
    Algorithm.load(tmp_path, framework="jax").close()
    assert caplog.messages[1:] == [
        "the checkpoint froze logits.bias, logits.weight, but framework='jax' has no way to freeze them: they are"
        " trained on. Load it with framework='torch' to keep them frozen."
    ]


@every_old_one
def test_weights_of_an_old_checkpoint_carry_over(name: str) -> None:
    old = Algorithm.load(FORMAT1 / name)
    fresh = PPO(gym.make("CartPole-v1"), old.config, num_envs_per_env_runner=1, preset="none")
    fresh.load_weights(FORMAT1 / name)
    for key, value in old.policy.weights().items():
        if key != "timestep":
            np.testing.assert_array_equal(value, fresh.policy.weights()[key], err_msg=key)
    assert fresh.timesteps_total == 0


def test_loading_an_old_checkpoint_leaves_its_files_alone(tmp_path: Path) -> None:
    shutil.copytree(FORMAT1 / "dense", tmp_path / "copy")
    before = {file.name: file.read_bytes() for file in (tmp_path / "copy").iterdir()}
    Algorithm.load(tmp_path / "copy").train()
    assert {file.name: file.read_bytes() for file in (tmp_path / "copy").iterdir()} == before


# -------------------------------------------------------------------------------- state of a user's own algorithm


LEFT_IN_MORE: dict[str, tuple[Callable[[], Any], str]] = {
    "tensor": (lambda: torch.zeros(2), "'thing': self.thing"),
    "parameter": (lambda: nn.Parameter(torch.zeros(2)), "'thing': self.thing"),
    "generator of NumPy's": (lambda: np.random.default_rng(0), "'thing': self.thing"),
    "generator of Python's": (lambda: __import__("random").Random(0), "'thing': self.thing"),
    "generator of the framework": (lambda: torch.Generator(), "'thing': self.thing"),
    "dict of modules": (
        lambda: {"a": nn.Linear(1, 1)},
        "**{f'thing_{key}': part for key, part in self.thing.items()}",
    ),
    "list of modules": (lambda: [nn.Linear(1, 1)], "**{f'thing_{i}': part for i, part in enumerate(self.thing)}"),
    "list of arrays": (lambda: [1, [np.zeros(2)]], "'thing': self.thing"),
}


@pytest.mark.parametrize("kind", LEFT_IN_MORE)
def test_other_things_that_training_goes_on_from_are_refused_too(kind: str) -> None:
    make, line = LEFT_IN_MORE[kind]

    class Forgets(PPO):
        def setup(self) -> None:
            super().setup()
            self.thing = make()

    with pytest.raises(ConfigError) as caught:
        Forgets(Endless, SMALL)
    assert f"Name it in parts(): return {{**super().parts(), {line}}}." in str(caught.value)


@pytest.mark.parametrize("kind", [*LEFT, *LEFT_IN_MORE])
@pytest.mark.parametrize("when", ["after construction", "in training", "in the second iteration"])
def test_what_is_set_later_is_refused_after_the_iteration(kind: str, when: str) -> None:
    thing = LEFT[kind]() if kind in LEFT else LEFT_IN_MORE[kind][0]()

    class Forgets(PPO):
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings)
            if when == "after construction":
                self.thing = thing

        def updates(self, policy: Any, trajectory: Any) -> Any:
            if when == "in training" or (when == "in the second iteration" and self.training_iteration == 1):
                self.thing = thing
            return (yield from super().updates(policy, trajectory))

    algorithm = Forgets(Endless, SMALL)
    if when == "in the second iteration":
        algorithm.train()
    with pytest.raises(ConfigError, match=r"^Forgets sets self\.thing, which a checkpoint would not hold"):
        algorithm.train()


def test_arrays_that_objects_keep_are_noticed() -> None:
    class Forgets(PPO):
        def setup(self) -> None:
            super().setup()
            self.stats = RunningMeanStd(shape=())

    with pytest.raises(ConfigError, match=r"^Forgets\.setup\(\) sets self\.stats, a RunningMeanStd, whose arrays"):
        Forgets(Endless, SMALL)


def test_what_takes_the_place_of_none_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    class Forgets(PPO):
        def setup(self) -> None:
            super().setup()
            self.late = None

        def updates(self, policy: Any, trajectory: Any) -> Any:
            self.late = np.ones(2) if self.training_iteration else None
            return (yield from super().updates(policy, trajectory))

    algorithm = Forgets(Endless, SMALL)
    for _ in range(3):
        algorithm.train()
    (told,) = [message for message in caplog.messages if "self.late" in message]
    assert told.startswith("Forgets changes self.late while training, which a checkpoint would not hold. Name it")


class Initialised(PPO):
    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.scale = "large"


def test_an_init_that_loading_leaves_out_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Initialised(Endless, SMALL, preset="none").save(tmp_path / "saved")
    assert not caplog.records
    Initialised.load(tmp_path / "saved")
    assert caplog.messages == [
        "Initialised.__init__() does not run where an algorithm is loaded: what it sets is not there. Set it in"
        " setup(self), which runs both times."
    ]


def test_what_needs_no_saving_may_be_set_at_any_time() -> None:
    class Plain(PPO):
        def updates(self, policy: Any, trajectory: Any) -> Any:
            self.text, self.flag, self.history, self.latest = "a", True, [1.0, 2.0], trajectory
            self.by_name = {"a": 1}
            self.space, self.later = policy.action_space, trajectory if self.training_iteration else None
            return (yield from super().updates(policy, trajectory))

    algorithm = Plain(Endless, SMALL)
    for _ in range(2):
        algorithm.train()


class Curious(PPO):
    """Keeps tensors, parameters and random sources between iterations."""

    def setup(self) -> None:
        super().setup()
        self.rng, self.device_rng = np.random.default_rng(5), torch.Generator()
        self.alpha, self.mean = nn.Parameter(torch.ones(())), torch.zeros(2)
        self.optimiser = torch.optim.SGD([self.alpha], lr=0.1, momentum=0.9)
        self.critics = [nn.Linear(1, 1) for _ in range(2)]

    def parts(self) -> dict[str, Any]:
        names = ("rng", "device_rng", "alpha", "mean", "optimiser")
        critics = {f"critics_{i}": part for i, part in enumerate(self.critics)}
        return {**super().parts(), **{name: getattr(self, name) for name in names}, **critics}

    def updates(self, policy: Any, trajectory: Any) -> Any:
        noise = self.rng.normal() + torch.rand((), generator=self.device_rng)
        self.optimiser.zero_grad()
        (self.alpha * noise).square().backward()
        self.optimiser.step()
        self.mean += noise * self.critics[0].weight.detach()[0]
        return (yield from super().updates(policy, trajectory))


def test_tensors_and_random_sources_go_on_where_they_were(tmp_path: Path) -> None:
    first = Curious(Endless, SMALL)
    first.train()
    first.save(tmp_path)
    second = Curious.load(tmp_path, env=Endless)
    assert isinstance(second, Curious)
    assert second.alpha is second.optimiser.param_groups[0]["params"][0], "in place: the optimiser holds it"
    first.fleet.restart(environment_seed(first.seed, 1))
    for algorithm in (first, second):
        algorithm.train()
    assert first.alpha.item() == second.alpha.item() != 1
    assert torch.equal(first.mean, second.mean)
    assert first.rng.normal() == second.rng.normal()
    assert torch.equal(first.critics[1].weight, second.critics[1].weight)


def test_arrays_under_keys_that_are_alike_stay_apart() -> None:
    state = {1: np.zeros(2), "1": np.ones(2), "a/b": np.full(2, 2.0), "a": {"b": np.full(2, 3.0)}}
    tensors: dict[str, Any] = {}
    packed = _packed(state, "part", tensors, TorchRuntime("cpu"))
    np.testing.assert_equal(_unpacked(json.loads(json.dumps(packed)), tensors), state)


def test_what_is_set_from_outside_is_refused_before_every_iteration() -> None:
    class Mine(PPO):
        pass

    with closing(Mine(Endless, SMALL)) as algorithm:
        algorithm.level = 0  # type: ignore[attr-defined]
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"^Mine sets self\.level, which a checkpoint would not hold"):
                algorithm.train()
        assert algorithm.training_iteration == 0
