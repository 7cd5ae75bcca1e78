"""Learning from recorded steps: with an environment and without one, mixed with live steps, saved and resumed."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from anyspace import BC, MARWIL, PPO, Algorithm, Policy
from anyspace.cli import main
from anyspace.data.offline import write_spaces
from anyspace.errors import ConfigError

SMALL: dict[str, Any] = {"preset": "none", "seed": 1, "train_batch_size": 30, "model": {"fcnet_hiddens": [4]}}
BATCH = {"minibatch_size": 30, "num_epochs": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    """Steps of CartPole."""
    path = tmp_path_factory.mktemp("recorded")
    with closing(PPO("CartPole-v1", output=str(path), **BATCH, **SMALL)) as algorithm:
        for _ in range(4):
            algorithm.train()
    return str(path)


@pytest.fixture(scope="module")
def bare(folder, tmp_path_factory) -> str:
    """The same steps without the file that says of which spaces they are."""
    path = tmp_path_factory.mktemp("bare")
    (output,) = Path(folder).glob("output-*")
    (path / "steps.json").write_text(output.read_text())
    return str(path)


@pytest.mark.parametrize("kind", [BC, MARWIL])
def test_spaces_beside_the_files_take_the_environments_place(kind, folder, tmp_path):
    with closing(kind(input=folder, **SMALL)) as algorithm:
        result = algorithm.train()
        assert result["timesteps_this_iter"] >= 30
        assert result["fleet"] == {"bad_lines": 0.0}
        assert "episode_return_mean" not in result or result["episode_return_mean"] is None
        assert not algorithm.has_environment
        assert algorithm.policy.action_space == Discrete(2)
        with pytest.raises(ConfigError, match=f"there is no environment.*{kind.__name__}\\(env="):
            algorithm.evaluate(1)
        algorithm.save(tmp_path / "saved")
    with pytest.raises(ConfigError, match="`evaluate_every` is given, but there is no environment"):
        Algorithm.load(tmp_path / "saved", evaluate_every=100)
    obs, _ = gym.make("CartPole-v1").reset(seed=1)
    assert Policy.load(tmp_path / "saved").compute_single_action(obs) in (0, 1)
    with closing(Algorithm.load(tmp_path / "saved", env="CartPole-v1")) as again:
        assert again.evaluate(1)["episodes"] == 1
        assert again.train()["timesteps_total"] > 30


def test_an_environment_that_is_given_is_evaluated_in(bare):
    with closing(BC("CartPole-v1", input=bare, evaluate_every=30, evaluation_episodes=2, **SMALL)) as algorithm:
        assert algorithm.train()["evaluation"]["episodes"] == 2
        assert algorithm.has_environment


def test_runs_with_one_seed_are_alike(folder):
    losses = []
    for seed in (1, 1, 2):
        with closing(MARWIL(input=[folder + "/output-*.json"], **{**SMALL, "seed": seed})) as algorithm:
            losses.append([algorithm.train()["learner"]["total_loss"] for _ in range(3)])
    assert losses[0] == losses[1] != losses[2]


def test_recorded_and_live_steps_are_mixed(folder):
    mixture = {folder: 0.5, "sampler": 0.5}
    with closing(MARWIL("CartPole-v1", input=mixture, **SMALL)) as algorithm:
        results = [algorithm.train() for _ in range(12)]
    drawn = [(one["fleet"]["drawn/sampler"], one["fleet"][f"drawn/{folder}"]) for one in results]
    assert {*drawn} == {(1.0, 0.0), (0.0, 1.0)}, "an iteration is one round"
    assert results[-1]["episodes_total"] > 0


def test_environments_may_change_the_current_folder(folder, tmp_path, monkeypatch):
    def roaming() -> gym.Env[Any, Any]:
        monkeypatch.chdir(tmp_path)
        return gym.make("CartPole-v1")

    monkeypatch.chdir(folder)
    settings = {**SMALL, "input": {".": 0.5, "sampler": 0.5}, "output": "more"}
    with closing(MARWIL(roaming, **settings)) as algorithm:
        algorithm.train()
        algorithm.save(tmp_path / "saved")
    assert [file.name for file in tmp_path.iterdir()] == ["saved"]
    assert [*(Path(folder) / "more").glob("output-*")]
    monkeypatch.chdir(folder)
    with closing(Algorithm.load(tmp_path / "saved", env=roaming)) as algorithm:
        algorithm.evaluate(1)
        algorithm.train()


def test_the_name_of_the_current_folder_is_no_pattern(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, here := tmp_path / "try[1]*?")
    monkeypatch.chdir(here)
    for pattern in ("output-*.json", str(Path(folder) / "*.json")):
        with closing(BC(input=pattern, **SMALL)) as algorithm:
            assert algorithm.train()["timesteps_total"] > 0


@pytest.mark.parametrize("sampler", ["sampler", {"sampler": 1.0}])
def test_live_steps_alone_are_learnt_from(sampler):
    with closing(MARWIL("CartPole-v1", input=sampler, **SMALL)) as algorithm:
        assert algorithm.train()["timesteps_this_iter"] == 30
        assert not algorithm.config.has_files


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({}, "`input` is missing: recorded steps are learnt from"),
        ({"input": "sampler"}, "'sampler' in `input` takes steps in an environment: give one"),
        ({"input": "BARE"}, r"no source of `input` names its spaces.*anyspace\.data\.offline\.write_spaces"),
        ({"input": {"FOLDER": 0.5, "sampler": 0.5}}, "'sampler' in `input` takes steps in an environment: give one"),
        ({"input": "nowhere/*.json"}, r"no file matches 'nowhere/\*\.json'"),
        ({"input": {"FOLDER": 0.5}}, "sum to 1"),
        ({"input": "FOLDER", "evaluate_every": 100}, "`evaluate_every` is given, but there is no environment"),
        ({"input": "FOLDER", "evaluation_episodes": 3}, "`evaluation_episodes` is given, but there is no environment"),
        ({"input": "FOLDER", "env_config": {"a": 1}}, "`env_config` is given"),
        ({"input": "FOLDER", "stop_return": 100.0}, "`stop_return` takes returns"),
        ({"input": "minari:none"}, "minari"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_at_once(config, text, folder, bare):
    names = {"FOLDER": folder, "BARE": bare}
    source = config.get("input")
    if isinstance(source, dict):
        config = {**config, "input": {names.get(name, name): share for name, share in source.items()}}
    elif source in names:
        config = {**config, "input": names[source]}
    with pytest.raises(ConfigError, match=text):
        BC(**config)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (["minari:x/y-v0"], r"a list is of files alone: give 'minari:x/y-v0'"),
        (["rec", "sampler"], r"a list is of files alone: give \{'rec': 0\.5, 'sampler': 0\.5\}, with probabilities"),
        ("dataset", "'dataset', but data sets of Ray and of D4RL are not read"),
        ("d4rl.hopper-medium-v0", "'d4rl.hopper-medium-v0', but data sets of Ray"),
    ],
)
def test_sources_that_are_not_read_say_what_is(source, text):
    with pytest.raises(ConfigError, match=rf"`input` is .*{text}"):
        BC("CartPole-v1", input=source, preset="none")


def test_paths_are_sources(folder):
    with closing(BC(input=Path(folder), **SMALL)) as one, closing(BC(input=[Path(folder)], **SMALL)) as other:
        assert (one.config.input, other.config.input) == (folder, [folder])


def test_several_words_after_the_flag_say_how(capsys, folder):
    assert main(["train", "--algo", "bc", "--preset", "none", "--input", folder, folder]) == 2
    assert "--input takes one word: several files are JSON, --input '[" in capsys.readouterr().err


def test_exploring_without_steps_has_no_effect(folder):
    with pytest.raises(ConfigError, match=r"`exploration_config` .* no effect: no steps are taken to learn from"):
        BC(input=folder, exploration_config={"random_timesteps": 5}, **SMALL)


def test_steps_of_other_spaces_are_refused_at_once(folder, bare):
    with pytest.raises(ConfigError, match=r"the environment: the action space is Box.*Discrete\(2\)"):
        BC("Pendulum-v1", input=folder)
    with pytest.raises(ValueError, match=r"steps\.json, line 1.*expected shape \[\.\.\., 3\]"):
        BC("Pendulum-v1", input=bare)


def test_sources_of_other_spaces_than_each_other_are_refused(folder, tmp_path):
    (tmp_path / "other.json").write_text("\n")
    write_spaces(tmp_path, Box(-1, 1, (2,)), Discrete(2))
    with pytest.raises(ConfigError, match="the first source of `input`: the observation space"):
        BC(input={folder: 0.5, str(tmp_path): 0.5})


def test_on_policy_algorithms_say_why_they_take_no_input(folder):
    with pytest.raises(
        ConfigError,
        match=r"`input`\. It is a key of BC and MARWIL\. This algorithm learns from the steps that it has taken",
    ):
        PPO("CartPole-v1", input=folder)


def test_packed_columns_are_refused_unless_asked_for(folder, tmp_path):
    (output,) = Path(folder).glob("output-*")
    line = json.loads(output.read_text().splitlines()[0])
    (tmp_path / "packed.json").write_text(json.dumps({**line, "obs": "BCJNGGRwuA=="}))
    with pytest.raises(ConfigError, match=r"packed\.json, line 1: the column 'obs' is packed.*`unpack_input`"):
        BC("CartPole-v1", input=str(tmp_path))


def test_rewards_of_recorded_steps_are_clipped_and_scaled(folder):
    def returns(**config: Any) -> np.ndarray:
        with closing(MARWIL(input=folder, gamma=0.0, **config, **SMALL)) as algorithm:
            trajectory = algorithm.rewards(algorithm.fleet.gather(200))
            return trajectory.rewards

    assert (returns(clip_rewards=0.5) == 0.5).all()
    scaled = returns(normalize_rewards=True)
    assert (scaled == 1).all()  # at a discount of 0 every return is the same, and there is no scale


def test_filters_see_recorded_observations(folder):
    with closing(BC(input=folder, observation_filter="MeanStdFilter", **SMALL)) as algorithm:
        before = algorithm.policy.filter.state()
        algorithm.train()
        after = algorithm.policy.filter.state()
        assert before.keys() == after.keys()
        assert any((before[name] != after[name]).any() for name in before)


# ---------------------------------------------------------------------------------------- command line


def test_the_command_line_writes_and_learns(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--train-batch-size", "40", "--model.fcnet-hiddens", "4", "--no-progress"]
    assert main(["train", "CartPole-v1", "--steps", "80", "--evaluate", "0", "--output", "steps", *flags]) == 0
    assert {file.name.partition("-")[0] for file in Path("steps").iterdir()} == {"spaces.json", "output"}
    assert main(["train", "--algo", "bc", "--input", "steps", "--steps", "80", "--out", "cloned", *flags]) == 0
    printed = capsys.readouterr()
    assert "run folder: cloned" in printed.out
    assert re.search(r"trained \d+ steps in \S+ s\nrun folder: cloned", printed.out)
    assert "evaluation" not in printed.out.partition("run folder: runs")[2]
    assert main(["train", "--resume", "cloned", "--steps", "160", "--no-progress"]) == 0
    assert main(["evaluate", "cloned"]) == 2
    assert "`anyspace evaluate --env`" in capsys.readouterr().err
    assert main(["evaluate", "cloned", "--episodes", "1", "--env", "CartPole-v1"]) == 0
    assert (
        main(
            [
                "train",
                "CartPole-v1",
                "--algo",
                "bc",
                "--input",
                '{"steps": 0.5, "sampler": 0.5}',
                "--steps",
                "40",
                *flags,
            ]
        )
        == 0
    )
    assert "evaluation: mean return" in capsys.readouterr().out


def test_the_command_line_says_what_is_missing(tmp_path, monkeypatch, capsys, bare):
    monkeypatch.chdir(tmp_path)
    for words, text in (
        (["--algo", "bc"], "`input` is missing"),
        (["--algo", "marwil", "--input", bare], "an environment is needed, for no source of `input` names its spaces"),
        (["--algo", "bc", "--input", "nowhere"], "no file matches 'nowhere'"),
        (["CartPole-v1", "--input", bare], "there is no flag --input. It is a key of BC and MARWIL. This"),
        ([], "give an environment"),
    ):
        assert main(["train", *words]) == 2
        assert text in " ".join(capsys.readouterr().err.split())


# --------------------------------------------------------------------------------------------- presets


def test_recorded_spaces_choose_the_preset(folder, bare, caplog):
    with closing(BC(input=folder, seed=1)) as algorithm:
        assert algorithm.preset == "discrete"
        assert algorithm.config.minibatch_size == 128
    assert "BC on recorded steps starts from the preset 'discrete'" in caplog.text
    with closing(MARWIL("CartPole-v1", input=bare, preset="none")) as algorithm:
        assert algorithm.config.lr == 1e-4
