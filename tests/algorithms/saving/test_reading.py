"""Every entry of a checkpoint is checked: what is missing or of another type is a CheckpointError that names it."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from anyspace import APPO, DQN, PPO, SAC, Algorithm, Policy
from anyspace.algorithms.saving.plain import MARK
from anyspace.errors import AnyspaceError, CheckpointError, ConfigError, EnvironmentSetupError
from anyspace.execution.checkpoint import DEEPEST, MOST_BYTES, parsed

SMALL: dict[str, Any] = {
    "train_batch_size": 8,
    "minibatch_size": 8,
    "num_epochs": 1,
    "seed": 0,
    "model": {"fcnet_hiddens": [4]},
    "evaluate_every": 8,
    "evaluation_episodes": 1,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    algorithm = PPO("CartPole-v1", SMALL, env_config={"sutton_barto_reward": True}, lr_schedule=[(0, 1e-3), (9, 1e-4)])
    for _ in range(5):
        algorithm.train()
    algorithm.save(folder)
    return folder


@pytest.fixture
def run(tmp_path: Path, saved: Path) -> Path:
    shutil.copytree(saved, tmp_path / "run")
    return tmp_path / "run"


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, but for the root."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*above, key)
        yield from places(item, (*above, key))


def replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    changed = copy.deepcopy(value)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    if new is Ellipsis:
        del inner[place[-1]]
    else:
        inner[place[-1]] = new
    return changed


WRONG: list[Any] = [
    ...,
    None,
    True,
    -1,
    0.5,
    1e308,
    10**12,
    "text",
    "os:getcwd",
    [],
    [[1]],
    {},
    {"a": 1},
    {MARK: "tuple"},
]


def require_told(run: Path, state: dict[str, Any], what: object) -> str | None:
    """Load a state; what it says, which is a CheckpointError that names the folder, or None where it does no harm."""
    (run / "state.json").write_text(json.dumps(state))
    said = None
    try:
        algorithm = Algorithm.load(run)
    except CheckpointError as error:
        said = str(error)
    if said is not None:
        assert str(run) in said or "weights do not fit" in said, what
        return said
    with contextlib.suppress(AnyspaceError):  # where zeros are outside the bounds by now
        algorithm.compute_single_action(np.zeros(4, np.float32))
    return None


TOP = (
    "algorithm",
    "env",
    "seed",
    "config",
    "observation_space",
    "action_space",
    "parts",
    "tensors",
    "shapes",
    "format",
)


@pytest.mark.parametrize("key", TOP)
def test_entries_are_checked(run: Path, key: str) -> None:
    state = json.loads((run / "state.json").read_text())
    for wrong in WRONG:
        said = require_told(run, replaced(state, (key,), wrong), (key, wrong))
        harmless = (key, wrong) in [("seed", 10**12), ("env", None), ("env", "text")]
        assert (said is None) == harmless or (key == "seed" and wrong == 10**12), (key, wrong, said)
        if said is not None and wrong is Ellipsis:
            assert key in said or "names no" in said


def sampled(state: dict[str, Any]) -> list[tuple[Any, ...]]:
    """A place of every kind: the first key or two of each object, the first item of each list."""
    found = []
    for place in places(state):
        inner: Any = state
        for key in place[:-1]:
            inner = inner[key]
        if len(place) > 1 and place[0] != "shapes" and place[-1] in [*(inner if isinstance(inner, dict) else [0])][:3]:
            found.append(place)
    return found


def test_a_place_of_every_kind_is_checked(run: Path) -> None:
    state = json.loads((run / "state.json").read_text())
    tried = sampled(state)
    assert len(tried) > 15
    for number, place in enumerate(tried):
        for wrong in WRONG[number % 2 :: 2]:
            require_told(run, replaced(state, place, wrong), (place, wrong))


@pytest.mark.fuzz
def test_all_places_are_checked(run: Path) -> None:
    state = json.loads((run / "state.json").read_text())
    for place in places(state):
        for wrong in WRONG:
            require_told(run, replaced(state, place, wrong), (place, wrong))


@pytest.mark.parametrize(
    ("place", "wrong", "said"),
    [
        (("config", "lr"), "text", "config key `lr` takes float"),
        (("config", "lr"), -1, "config key `lr` is -1"),
        (("config", "lr_schedule"), {MARK: "tuple"}, "config key `lr_schedule` is damaged"),
        (("config", "model", "fcnet_hiddens"), [0.5], "config key `model.fcnet_hiddens` takes list"),
        (("config", "nonsense"), 1, "unknown config key `nonsense`"),
        (("parts", "counters"), [], "`parts.counters` is '[]'; it is to be an object"),
        (("parts", "counters", "counters"), 3, "counters: `counters` is to be an object"),
        (("parts", "counters", "counters", "timesteps_total"), "a", "`timesteps_total` is 'a'; it is to be a whole"),
        (("parts", "counters", "evaluated_at"), ..., "`evaluated_at` is None"),
        (("parts", "counters", "best_return"), "a", "`best_return` is 'a'; it is to be a number"),
        (("parts", "counters", "latest_episodes"), [[1]], "`latest_episodes` holds [1]; an episode is total_reward"),
        (("parts", "policy"), ..., "holds the parts"),
        (("observation_space", "low"), "text", "`observation_space`: no Box is written like this"),
        (("observation_space", "shape"), ..., "`observation_space`: no Box is written like this: KeyError: 'shape'"),
        (("action_space", "type"), "Nonsense", "`action_space`: expected a space of type"),
        (("action_space", "n"), -4, "`action_space`: no Discrete is written like this"),
        (("seed",), ..., "`seed` is missing; it is to be a whole number of at least 0"),
    ],
    ids=str,
)
def test_messages_name_file_and_key(run: Path, place: tuple[Any, ...], wrong: Any, said: str) -> None:
    state = json.loads((run / "state.json").read_text())
    told = require_told(run, replaced(state, place, wrong), place)
    assert told is not None
    assert said in told
    assert str(run / "state.json") in told or "does not fit" in told or "holds the parts" in told


def test_a_key_that_the_caller_changes_need_not_be_right(run: Path) -> None:
    state = json.loads((run / "state.json").read_text())
    state["config"]["lr"] = {MARK: "nonsense"}
    (run / "state.json").write_text(json.dumps(state))
    assert Algorithm.load(run, lr=0.5).config.lr == 0.5
    with pytest.raises(ConfigError, match="config key `lr` is -2"):
        Algorithm.load(run, lr=-2)


# -------------------------------------------------------------------------------------------------- sizes


HUGE: list[tuple[tuple[Any, ...], Any]] = [
    (("observation_space", "shape"), [10**6, 10**6]),
    (("observation_space",), {"type": "Box", "low": 0, "high": 1, "shape": [2**27], "dtype": "float32"}),
    (("observation_space",), {"type": "Discrete", "n": 10**12, "start": 0, "dtype": "int64"}),
    (("observation_space",), {"type": "MultiBinary", "n": 10**12}),
    (("observation_space",), {"type": "MultiBinary", "n": [10**6, 10**6]}),
    (("observation_space",), {"type": "MultiDiscrete", "nvec": [10**12], "start": [0], "dtype": "int64"}),
    (("observation_space",), {"type": "Text", "max_length": 10**12, "min_length": 0, "characters": ["a"]}),
    (("observation_space",), {"type": "Words", "vocabulary": ["a"], "max_words": 10**12}),
    (
        ("observation_space",),
        {
            "type": "Repeated",
            "max_len": 10**12,
            "child_space": {"type": "Discrete", "n": 2, "start": 0, "dtype": "int64"},
        },
    ),
    (
        ("observation_space",),
        {"type": "AtariPixels", "shape": [9, 9, 3], "dim": 10**7, "grayscale": False, "zero_mean": True},
    ),
    (("action_space", "n"), 10**12),
    (("action_space",), {"type": "Box", "low": 0, "high": 1, "shape": [10**12], "dtype": "float32"}),
    (("config", "model", "fcnet_hiddens"), [10**12]),
    (("config", "model", "fcnet_hiddens"), [10**6, 10**6]),
    (("config", "model", "conv_filters"), [[10**12, 3, 1]]),
]


@pytest.mark.parametrize(("place", "size"), HUGE, ids=str)
def test_sizes_that_would_take_all_memory_are_refused(run: Path, place: tuple[Any, ...], size: Any) -> None:
    state = json.loads((run / "state.json").read_text())
    said = require_told(run, replaced(state, place, size), place)
    assert said is not None
    assert "larger than what is read" in said or "weights or more, but the checkpoint holds" in said


@pytest.mark.parametrize(
    ("switch", "key"),
    [
        ("use_lstm", "lstm_cell_size"),
        ("use_gru", "lstm_cell_size"),
        ("use_attention", "attention_dim"),
        ("use_attention", "attention_memory_inference"),
        ("use_attention", "attention_position_wise_mlp_dim"),
        ("use_attention", "attention_num_transformer_units"),
        ("use_attention", "attention_memory_training"),
        ("use_attention", "attention_use_n_prev_actions"),
    ],
)
def test_memories_of_any_size_are_not_built_without_looking(run: Path, switch: str, key: str) -> None:
    state = json.loads((run / "state.json").read_text())
    state["config"]["model"] |= {switch: True, key: 10**9}
    said = require_told(run, state, key)
    assert said is not None
    assert f"`config.model.{key}` makes a model of " in said


@pytest.mark.parametrize(
    ("kind", "env", "key", "value", "place"),
    [
        (DQN, "CartPole-v1", "hiddens", [10**6, 10**6], "hiddens"),
        (DQN, "CartPole-v1", "num_atoms", 10**8, "num_atoms"),
        (SAC, "Pendulum-v1", "model", {"fcnet_hiddens": [10**6, 10**6]}, "model.fcnet_hiddens"),
        (SAC, "Pendulum-v1", "q_model_config", {"fcnet_hiddens": [10**6, 10**6]}, "q_model_config.fcnet_hiddens"),
        (SAC, "Pendulum-v1", "policy_model_config", {"fcnet_hiddens": 3}, None),
    ],
)
def test_networks_of_other_algorithms_are_not_built_without_looking(
    tmp_path: Path, kind: type[Any], env: str, key: str, value: Any, place: str | None
) -> None:
    with closing(kind(env, {"model": {"fcnet_hiddens": [4]}, "replay_capacity": 2000}, preset="none")) as algorithm:
        algorithm.save(tmp_path)
    file = tmp_path / "state.json"
    state = json.loads(file.read_text())
    old = state["config"][key]
    state["config"][key] = {**old, **value} if isinstance(old, dict) else value
    file.write_text(json.dumps(state))
    expected = f"`config.{place}` makes a model of " if place else "config key `fcnet_hiddens` takes"
    for load in (Algorithm.load, Policy.load):
        with pytest.raises(CheckpointError, match=re.escape(expected)):
            load(tmp_path)


def test_a_nested_text_is_no_danger(run: Path) -> None:
    for text in ("[" * 100_000, "[" * 300 + "]" * 300, '{"a":' * 900 + "1" + "}" * 900):
        (run / "state.json").write_text(text)
        for load in (Algorithm.load, Policy.load, PPO("CartPole-v1", SMALL).load_weights):
            with pytest.raises(CheckpointError, match=f"nested more than {DEEPEST} levels deep|truncated"):
                load(run)
    state = json.loads('{"x": ' + "[" * 150 + "]" * 150 + "}")
    assert parsed(json.dumps(state), "here") == state


def test_numbers_that_json_does_not_have_are_refused(run: Path) -> None:
    text = (run / "state.json").read_text()
    for number in ("NaN", "Infinity", "-Infinity", "1" * 5000):
        (run / "state.json").write_text(text.replace('"seed": 0', f'"seed": {number}'))
        with pytest.raises(CheckpointError, match=r"state\.json is truncated or no checkpoint's state"):
            Algorithm.load(run)


def test_a_text_of_many_bytes_is_not_read(run: Path) -> None:
    with (run / "state.json").open("r+b") as file:
        file.truncate(MOST_BYTES + 1)  # a hole: no disk is used
    with pytest.raises(CheckpointError, match="has more than 268,435,456 bytes"):
        Algorithm.load(run)


# --------------------------------------------------------------------------------------- the file of tensors


def elsewhere(run: Path) -> Path:
    """A good file of tensors beside the folder of the checkpoint."""
    name = json.loads((run / "state.json").read_text())["tensors"]
    (run.parent / "other").mkdir()
    shutil.copy(run / name, run.parent / "other" / name)
    return run.parent / "other" / name


NAMES: dict[str, Callable[[Path], str]] = {
    "absolute": lambda file: str(file),
    "above": lambda file: f"../other/{file.name}",
    "roundabout": lambda file: f"../run/{file.name}",
    "a folder": lambda file: f"./{file.name}",
    "backslash": lambda file: f"..\\other\\{file.name}",
    "zero byte": lambda file: f"{file.name}\0",
    "empty": lambda file: "",
    "dots": lambda file: "..",
    "state": lambda file: "state.json",
    "line break": lambda file: f"{file.name}\n",
}


@pytest.mark.parametrize("kind", NAMES)
def test_tensors_are_read_from_the_checkpoint_s_own_folder(run: Path, kind: str) -> None:
    state = json.loads((run / "state.json").read_text())
    state["tensors"] = NAMES[kind](elsewhere(run))
    (run / "state.json").write_text(json.dumps(state))
    for load in (Algorithm.load, Policy.load, PPO("CartPole-v1", SMALL).load_weights):
        with pytest.raises(CheckpointError, match=r"the tensors of a checkpoint lie in its own folder"):
            load(run)


def test_links_out_of_the_folder_are_not_followed(run: Path) -> None:
    file = elsewhere(run)
    (run / file.name).unlink()
    (run / file.name).symlink_to(file)
    with pytest.raises(CheckpointError, match="Nothing was read"):
        Algorithm.load(run)
    (run / file.name).unlink()
    (run / file.name).symlink_to("nowhere.safetensors")
    with pytest.raises(CheckpointError, match=f"{re.escape(file.name)}, which its state"):
        Algorithm.load(run)
    os.mkfifo(run / "tensors-pipe.safetensors")
    state = json.loads((run / "state.json").read_text()) | {"tensors": "tensors-pipe.safetensors"}
    (run / "state.json").write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match="is missing"):
        Algorithm.load(run)


def test_a_run_folder_that_is_a_link_is_fine(run: Path) -> None:
    (run.parent / "latest").symlink_to(run)
    assert Algorithm.load(run.parent / "latest").training_iteration == 5


def test_a_header_of_nonsense_is_refused(run: Path) -> None:
    name = json.loads((run / "state.json").read_text())["tensors"]
    for header in (
        {"x": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}},
        {"x": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}},
        {"x": {"dtype": "NONSENSE", "shape": [1], "data_offsets": [0, 4]}},
        {"x": 5},
    ):
        text = json.dumps(header).encode()
        (run / name).write_bytes(len(text).to_bytes(8, "little") + text + b"\0\0\0\0")
        with pytest.raises(CheckpointError, match=r"is truncated or damaged|does not hold the tensors"):
            Algorithm.load(run)


def test_the_latest_evaluation_is_remembered(run: Path) -> None:
    loaded = Algorithm.load(run, stop_return=-5.0)
    assert loaded.should_stop(), "an evaluation has reached it"
    assert not Algorithm.load(run, stop_return=1e6).should_stop()


def test_a_policy_takes_what_acting_takes(run: Path) -> None:
    algorithm, policy = Algorithm.load(run), Policy.load(run)
    assert type(policy) is Policy
    for _ in range(5):
        observation = algorithm.policy.observation_space.sample()
        one, other = (each.compute_single_action(observation, explore=True) for each in (algorithm, policy))
        assert one == other
    for name, value in algorithm.policy.state().items():
        np.testing.assert_array_equal(value, policy.state()[name])
    assert Policy.load(run, config={"explore": False}).config.explore is False


@pytest.mark.parametrize(
    ("env", "kind", "message"),
    [
        ("Pendulum-v1", CheckpointError, "the observation space of Pendulum-v1 is"),
        (gym.make("Pendulum-v1"), CheckpointError, "the observation space of Pendulum-v1 is"),
        (lambda **config: 3, EnvironmentSetupError, "gave int, not a gymnasium.Env"),
        (3, EnvironmentSetupError, "`env` is int, not a gymnasium.Env"),
    ],
    ids=["id", "instance", "function", "number"],
)
def test_an_environment_that_does_not_fit_is_refused_at_once(saved: Path, env: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        PPO.load(saved, env=env, env_config={})


def test_a_vector_environment_says_how_many_there_are(saved: Path) -> None:
    with closing(PPO.load(saved, env=gym.make_vec("CartPole-v1", num_envs=2), env_config={})) as algorithm:
        assert algorithm.config.num_envs_per_env_runner == 2
        algorithm.train()
    envs = gym.make_vec("CartPole-v1", num_envs=2)
    with closing(envs), closing(PPO.load(saved, env=envs, env_config={}, num_envs_per_worker=3)) as algorithm:
        assert algorithm.config.num_envs_per_env_runner == 3
        with pytest.raises(EnvironmentSetupError, match="make them equal"):
            algorithm.train()
    with closing(gym.make_vec("Pendulum-v1", num_envs=2)) as envs, pytest.raises(CheckpointError, match="Pendulum-v1"):
        PPO.load(saved, env=envs, env_config={})


def test_changes_are_a_dict(run: Path) -> None:
    with pytest.raises(ConfigError, match="`config` is a dict of the keys to change, but a PPOConfig came"):
        Algorithm.load(run, config=PPO.config_class())  # type: ignore[arg-type]


def test_moments_of_another_optimiser_are_named(tmp_path: Path) -> None:
    small = {"train_batch_size": 8, "model": {"fcnet_hiddens": [4]}}
    with closing(APPO("CartPole-v1", small, preset="none")) as algorithm:
        algorithm.train()
        algorithm.save(tmp_path / "adam")
    with pytest.raises(
        CheckpointError, match=r"learner: its optimiser kept no '.*square_avg': it was another one, or had"
    ):
        Algorithm.load(tmp_path / "adam", opt="rmsprop")


def test_options_of_the_recorded_exploration_stay_beside_new_ones(tmp_path: Path) -> None:
    noise = {"type": "OrnsteinUhlenbeckNoise", "ou_theta": 0.3}
    with contextlib.closing(SAC("Pendulum-v1", exploration_config=noise, replay_capacity=2000, seed=0)) as algorithm:
        algorithm.save(tmp_path)
    other: dict[str, Any] = {"type": "GaussianNoise"}
    for given, expected in (({"ou_sigma": 0.1}, {"ou_sigma": 0.1, **noise}), (other, other)):
        with contextlib.closing(SAC.load(tmp_path, exploration_config=given)) as loaded:
            assert loaded.config.exploration_config == expected
