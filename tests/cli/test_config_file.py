"""``--config FILE``, ``--seeds``, and the groups of ``--help``."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path

import pytest

from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.layers import overridden
from anyspace.algorithms.ppo import PPOConfig
from anyspace.cli import groups, main
from anyspace.cli.config_file import OWN, ConfigFile
from anyspace.execution.log import read_metrics
from anyspace.execution.run_files import settings_of
from tests.cli.support import TINY, run

FILE = """
env = "CartPole-v1"
algo = "a2c"
preset = "none"
steps = 1e2
evaluate = 0
callback = ["toys:noted"]
lr = 3
lambda = 0.5
train_batch_size = 5e1
grad_clip = "none"

[model]
fcnet_hiddens = [8, 8]
custom_model = "toys:Small"
"""


def test_toml_gives_keys_and_flags(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "a.toml").write_text(FILE)
    status, out, err = run(capsys, "train", "--config", "a.toml", "--out", "run", "--lr", "0.25", "--no-progress")
    assert status == 0, err
    stored = json.loads((folder / "run" / "config.json").read_text())
    config = stored["config"]
    assert (stored["algorithm"], stored["env"], stored["preset"]) == ("A2C", "CartPole-v1", "none")
    assert (config["lr"], config["lambda_"], config["train_batch_size"], config["grad_clip"]) == (0.25, 0.5, 50, None)
    assert config["model"]["fcnet_hiddens"] == [8, 8]
    assert config["model"]["custom_model"] == {"import": "toys:Small"}
    assert json.loads((folder / "run" / "run.json").read_text())["steps"] == 100
    assert "evaluation" not in out
    assert "noted" in (folder / "run" / "metrics.csv").read_text()


def test_options_among_the_words_are_laid_over_those_of_the_file(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "a.toml").write_text('algo = "dqn"\n[exploration_config]\nfinal_epsilon = 0.3')
    words = ["--exploration-config", '{"epsilon_timesteps": 7}', "--steps", "4", "--out", "run", "--no-progress"]
    status, _, err = run(capsys, "train", "CartPole-v1", "--config", "a.toml", *words)
    assert status == 0, err
    config = json.loads((folder / "run" / "config.json").read_text())["config"]
    assert config["exploration_config"] == {"epsilon_timesteps": 7, "final_epsilon": 0.3}


def test_a_run_s_configuration_is_given_back(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    words = ["--evaluate", "0", "--steps", "16"]
    assert main(["train", "toys:Drawn", "--out", "first", *words, *TINY]) == 0
    again = ["train", "--config", "first/config.json", "--no-progress", *words, "--out", "second"]
    assert run(capsys, *again)[0] == 0
    first, second = (json.loads((folder / name / "config.json").read_text()) for name in ("first", "second"))
    assert settings_of(first) == settings_of(second)
    assert second["command"] == "anyspace " + " ".join(again)
    for words, error in (
        (["--config", "first/config.json", "--algo", "dqn"], "--config first/config.json is a run of PPO, but --algo"),
        (["--config", "first/config.json", "--preset", "none"], "--config first/config.json starts from the settings"),
        (["--resume", "first", "--algo", "dqn"], "--resume is a run of PPO, but --algo says dqn; leave --algo out."),
        (["--resume", "first", "--preset", "none"], "--resume starts from the settings of a run"),
    ):
        status, _, err = run(capsys, "train", *words)
        assert (status, err.startswith(f"error: {error}")) == (2, True), err
    (folder / "stranger.json").write_text(json.dumps({**first, "env": "toys:Strange"}))
    status, _, err = run(capsys, "inspect", "--config", "stranger.json")
    assert (status, "toys:Strange" in err, "--trust" in err) == (2, True, True)
    status, out, _ = run(capsys, "inspect", "--config", "stranger.json", "--trust")
    assert (status, "PPO on toys:Strange" in out) == (0, True)
    # Another environment is the user's own word.
    status, out, err = run(capsys, "inspect", "CartPole-v1", "--config", "stranger.json")
    assert status == 0, err
    assert "PPO on CartPole-v1" in out


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("none.toml", None, "--config none.toml cannot be read: No such file or directory."),
        ("a.ini", "lr: 1", "--config a.ini: a configuration is a .toml, or the config.json of a run."),
        ("a.toml", "lr = ", "--config a.toml is no TOML: Invalid value"),
        ("a.json", "[1]", "--config a.json holds list; keys and values are expected."),
        ("a.toml", "learning_rate = 1.0", "unknown config key `learning_rate`."),
        ("a.toml", "lr = 'x'", "config key `lr` takes float, but 'x' (str) came."),
        ("a.toml", "steps = 1.5", "--config a.toml: `steps` takes int, but 1.5 came."),
        ("a.toml", "callback = 5", "--config a.toml: `callback` takes tuple[str, ...], but 5 came."),
        ("a.toml", "callback = [5]", "--config a.toml: `callback` takes tuple[str, ...], but (5,) came."),
        ("a.toml", "callback = 'no.such:f'", "'no.such:f' cannot be imported"),
    ],
)
def test_wrong_files(
    capsys: pytest.CaptureFixture[str], folder: Path, name: str, content: str | None, error: str
) -> None:
    if content is not None:
        (folder / name).write_text(content)
    status, _, err = run(capsys, "train", "CartPole-v1", "--config", name, "--no-progress")
    assert (status, err.startswith(f"error: {error}")) == (2, True), err


def test_seeds_are_trained_one_after_the_other(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    words = [*TINY[:6], *TINY[8:], "--steps", "16", "--evaluate", "1"]
    status, out, err = run(capsys, "train", "toys:Drawn", "--seeds", "2", "--seed", "4", "--out", "all", *words)
    assert status == 0, err
    assert "mean return 4.0 +- 0.0 (lowest 4.0, highest 4.0) over 2 seeds" in out
    folders = "all/seed-4 all/seed-5"
    assert f"run folders: {folders.replace(' ', ', ')}\ncurves: anyspace plot {folders} --out all/curves.png\n" in out
    seeds = [json.loads((folder / "all" / f"seed-{n}" / "config.json").read_text())["seed"] for n in (4, 5)]
    assert seeds == [4, 5]
    status, out, _ = run(capsys, "plot", "all/seed-4", "all/seed-5", "--out", "all/curves.png")
    assert "(2 seeds)" in out
    # A folder that is taken is known before anything is trained.
    status, _, err = run(capsys, "train", "toys:Drawn", "--seeds", "2", "--seed", "3", "--out", "all", *words)
    assert (status, "all/seed-4 already holds a run" in err) == (2, True), err
    assert not (folder / "all" / "seed-3").exists()


def test_seeds_of_an_earlier_command_are_named_or_overwritten(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    words = [*TINY[:6], *TINY[8:], "--steps", "16", "--evaluate", "0", "--out", "all"]
    run(capsys, "train", "toys:Drawn", "--seeds", "2", *words)
    status, out, err = run(capsys, "train", "toys:Drawn", "--seeds", "1", "--seed", "2", *words)
    assert (status, "all/seed-0, all/seed-1: of an earlier command" in out) == (0, True), err
    assert "over 1 seed\nrun folders: all/seed-2\n" in out

    # A command that cannot work destroys nothing.
    wrong = ["--train-batch-size", "1"]
    assert run(capsys, "train", "toys:Drawn", "--seeds", "1", "--overwrite", *words, *wrong)[0] == 2
    assert {path.name for path in (folder / "all").iterdir()} == {"seed-0", "seed-1", "seed-2"}
    (folder / "all" / "seed-1" / "mine.txt").touch()
    status, _, err = run(capsys, "train", "toys:Drawn", "--seeds", "1", "--overwrite", *words)
    assert (status, {path.name for path in (folder / "all").iterdir()}) == (0, {"seed-0", "seed-1"}), err
    assert {path.name for path in (folder / "all" / "seed-1").iterdir()} == {"mine.txt"}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--seeds", "0"], "error: --seeds is 0, but it must be at least 1."),
        (["--seeds", "2.5"], None),
        (["--seeds", "2", "--resume", "run"], "error: "),
    ],
)
def test_wrong_seeds(capsys: pytest.CaptureFixture[str], folder: Path, words: list[str], error: str | None) -> None:
    if error is None:
        with pytest.raises(SystemExit):
            main(["train", "CartPole-v1", *words])
        assert "'2.5' is no whole number" in capsys.readouterr().err
        return
    status, _, err = run(capsys, "train", "CartPole-v1", *words)
    assert (status, err.startswith(error)) == (2, True), err


def test_every_key_of_all_algorithms_is_in_a_group() -> None:
    grouped = {key for keys in groups._GROUPS.values() for key in keys}
    assert {field.name for field in dataclasses.fields(AlgorithmConfig)} <= grouped


def test_help_has_groups(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = capsys.readouterr().out
    titles = ["learning options", "environment options", "spaces options", "evaluation options", "machine options"]
    places = [out.index(title) for title in (*titles, "model options")]
    assert places == sorted(places)
    assert places[0] < out.index("--clip-param") < places[1] < out.index("--env-config") < places[2]
    assert places[2] < out.index("--observation-filter") < places[3] < out.index("--evaluate-every") < places[4]


def test_a_run_s_configuration_brings_its_steps(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """A rate that falls over the run is the same one only with as many steps."""
    words = ["--evaluate", "0", "--no-progress"]
    first = ["train", "toys:Drawn", "--steps", "64", "--lr-schedule", "linear", *TINY, *words, "--out", "first"]
    assert run(capsys, *first)[0] == 0
    again = ["train", "--config", "first/config.json", "--trust", *words, "--out", "second"]
    status, _, err = run(capsys, *again)
    assert status == 0, err
    rates = [[row["learner/lr"] for row in read_metrics(folder / name / "metrics.csv")] for name in ("first", "second")]
    assert rates[0] == rates[1]
    assert len({*rates[0]}) > 1


def test_a_constant_among_the_words_replaces_a_schedule_of_the_file(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "b.toml").write_text('env = "toys:Drawn"\nsteps = 32\nlr_schedule = [[0, 1e-2], [400, 0]]\n')
    words = ["--config", "b.toml", "--evaluate", "0", "--no-progress", *TINY]
    assert run(capsys, "train", *words, "--lr", "0.5", "--out", "c")[0] == 0
    config = json.loads((folder / "c" / "config.json").read_text())["config"]
    assert (config["lr"], config["lr_schedule"]) == (0.5, None)


QUIET = ("--evaluate", "0", "--no-progress")
SEQUENCES = (
    *("--algo", "sac", "--model.use-lstm", "--model.no-lstm-use-prev-action", "--model.max-seq-len", "4"),
    *("--train-batch-size", "4", "--num-steps-sampled-before-learning-starts", "30", "--model.fcnet-hiddens", "4"),
)


@pytest.mark.parametrize(
    "words",
    [
        ["Pendulum-v1", *SEQUENCES, "--steps", "40"],
        ["--algo", "bc", "--input", "recorded", "--train-batch-size", "8", "--steps", "8", "--seed", "0"],
    ],
    ids=["without previous actions", "recorded steps"],
)
def test_what_the_author_of_a_run_chose_stays(
    capsys: pytest.CaptureFixture[str], folder: Path, words: list[str]
) -> None:
    assert run(capsys, "train", "toys:Drawn", *TINY, *QUIET, "--steps", "32", "--output", "recorded")[0] == 0
    steps = words[words.index("--steps") + 1]
    assert run(capsys, "train", *words, *QUIET, "--out", "first")[0] == 0
    again = ["train", "--config", "first/config.json", "--trust", "--steps", steps, *QUIET, "--out", "second"]
    status, _, err = run(capsys, *again)
    assert status == 0, err
    first, second = (json.loads((folder / name / "config.json").read_text()) for name in ("first", "second"))
    assert settings_of(first) == settings_of(second)


def test_a_smaller_batch_leaves_the_environments_that_a_run_s_author_chose(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    wide = ["toys:Drawn", *TINY, "--num-envs-per-env-runner", "8", *QUIET, "--steps", "16"]
    assert run(capsys, "train", *wide, "--out", "first")[0] == 0
    again = ["--config", "first/config.json", "--train-batch-size", "8", "--minibatch-size", "8", *QUIET]
    assert run(capsys, "train", *again, "--steps", "16", "--out", "second")[0] == 0
    config = json.loads((folder / "second" / "config.json").read_text())["config"]
    assert (config["num_envs_per_env_runner"], config["train_batch_size"]) == (8, 8)


def test_the_experiment_of_the_page_about_rllib_is_as_it_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "porting.md").read_text()
    toml = page.partition("```toml\n")[2].partition("```")[0]
    written = ConfigFile(Path("x"), settings={k: v for k, v in tomllib.loads(toml).items() if k not in OWN})
    config = overridden(PPOConfig(), written.of(PPOConfig))
    assert (config.num_env_runners, config.num_epochs, config.minibatch_size, config.lr) == (2, 6, 128, 3e-4)
    assert (config.model.fcnet_hiddens, config.checkpoint_every, config.stop_return) == ([32], 40_000, 150)
