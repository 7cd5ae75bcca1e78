"""Every algorithm on JAX, through the same doors as on PyTorch."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from functools import partialmethod
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from rich.console import Console

from anyspace import A2C, APPO, DQN, MARWIL, PG, SAC, Algorithm, Policy
from anyspace.cli import main
from anyspace.distributions import DiagGaussian
from anyspace.errors import ConfigError
from anyspace.execution import backends
from anyspace.execution.inspection import pipeline_tree
from anyspace.execution.learner import Steps
from anyspace.maths.xp import xp
from anyspace.spaces import StackedFrames
from tests.frameworks.conftest import REPLAYED, Build
from tests.support.table import ACTIONS, MEMORIES, Chances

SHORT = {"train_batch_size": 32}


def weights_of(algorithm: Algorithm[Any]) -> dict[str, Any]:
    return algorithm.policy.runtime.parameters(algorithm.policy.model)


def moved(algorithm: Algorithm[Any]) -> bool:
    """Train for an iteration; return whether a weight of the policy moved."""
    before = weights_of(algorithm)
    result = algorithm.train()
    assert np.isfinite(result["learner"]["total_loss"])
    return any((value != before[name]).any() for name, value in weights_of(algorithm).items())


def test_parts_of_a_batch_sum_up_to_its_gradient(build: Build) -> None:
    whole, parts = (build(kind=A2C, **SHORT, microbatch_size=size, grad_clip=None) for size in (None, 8))
    for algorithm in (whole, parts):
        algorithm.train()
    for name, value in weights_of(whole).items():
        np.testing.assert_allclose(weights_of(parts)[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_recorded_steps_are_learnt_from(build: Build, tmp_path: Path) -> None:
    writer = build(kind=PG, framework="torch", train_batch_size=32, output=str(tmp_path))
    writer.train()
    writer.close()
    assert moved(build(kind=MARWIL, input=str(tmp_path), train_batch_size=16))


MEMORY = {"use_lstm": True, "lstm_cell_size": 8, "max_seq_len": 4}
EVENLY = {"hiddens": [8], "prioritized_replay": False, "target_network_update_freq": 0, "tau": 0.1}


@pytest.mark.parametrize(
    ("framework", "kind", "actions", "settings"),
    [
        ("jax", DQN, None, EVENLY),
        pytest.param("tf", DQN, None, EVENLY, marks=pytest.mark.xdist_group("tensorflow")),
        ("jax", DQN, None, {"hiddens": [8], "model": MEMORY, "replay_burn_in": 2, "num_atoms": 5}),
        ("jax", SAC, "Tuple", {"tau": 0.1}),
        pytest.param("jax", SAC, "Tuple", {"tau": 0.1, "model": MEMORIES["GRU"]}, marks=pytest.mark.fuzz),
        pytest.param(
            "jax",
            DQN,
            "MultiDiscrete",
            {"hiddens": [8], "n_step": 2, "model": MEMORIES["GTrXL"]},
            marks=pytest.mark.fuzz,
        ),
    ],
    ids=[
        "DQN, several steps at once",
        "DQN, several steps at once, TensorFlow",
        "DQN, sequences by priority",
        "SAC, masked choices and numbers",
        "SAC, masked choices and numbers, sequences",
        "DQN, masked",
    ],
)
def test_replayed_steps_are_learnt_from_as_with_torch(
    build: Build,
    framework: str,
    kind: type[Algorithm[Any]],
    actions: str | None,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Frameworks draw other numbers: each of them "draws" a deviation of 0.5.
    monkeypatch.setattr(
        DiagGaussian,
        "standard_noise",
        lambda self, rng, steps: xp(self.inputs).full((steps, *self.mean.shape), 0.5, like=self.inputs),
    )
    env: Any = "CartPole-v1" if actions is None else lambda: Chances(ACTIONS[actions], True)
    theirs, mine = (build(env, kind, framework=name, **REPLAYED, **settings) for name in ("torch", framework))
    if framework == "tf":
        mine.policy.runtime.ways.number = 1
    mine.target.load_weights(theirs.target.weights())
    require_same_numbers(theirs, mine, steps=4, times=8)
    # Sequences that are drawn have other lengths every time: their rows are padded to one of a few numbers.
    assert mine.learner.compilations <= (4 if "model" in settings else 2)


def test_a_divergence_from_the_target_is_learnt_from_as_with_torch(build: Build) -> None:
    settings = {"model": MEMORY, "use_kl_loss": True, "lr": 1e-3, "rollout_fragment_length": 8, **SHORT}
    theirs, mine = (build(kind=APPO, framework=name, **settings) for name in ("torch", "jax"))
    mine.target.load_weights(theirs.target.weights())
    require_same_numbers(theirs, mine, steps=32, times=5)


def require_same_numbers(theirs: Algorithm[Any], mine: Algorithm[Any], steps: int, times: int) -> None:
    """Learn from the same steps with both, and compare all that they report."""
    mine.policy.load_weights(theirs.policy.weights())
    trajectories = [theirs.fleet.gather(steps) for _ in range(times)]
    numbers = []
    for algorithm in (theirs, mine):
        numpy, found = algorithm.policy.runtime.numpy, []
        for trajectory in trajectories:
            updates, result = algorithm.updates(algorithm.policy, trajectory), None
            with suppress(StopIteration):
                while True:
                    asked = next(updates) if result is None else updates.send(result)
                    learner = algorithm.learner
                    result = learner.steps(asked) if isinstance(asked, Steps) else learner.step(asked)
                    found.append({name: np.atleast_1d(numpy(value)) for name, value in result.metrics.items()})
                    found[-1] |= {name: numpy(value).reshape(-1) for name, value in result.rows.items()}
        numbers.append(found)
    assert len(numbers[1]) == len(numbers[0]) >= 5
    for one, other in zip(*numbers, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            np.testing.assert_allclose(other[name], value, rtol=2e-3, atol=2e-4, err_msg=name)


def test_sac_samples_numbers_and_noisy_layers_draw(build: Build) -> None:
    pendulum = build("Pendulum-v1", SAC, model={"fcnet_hiddens": [8]}, **REPLAYED)
    noisy = build(kind=DQN, noisy=True, hiddens=[8], **REPLAYED)
    assert moved(pendulum)
    with noisy.policy.acting() as actor:
        assert actor.network.twin is None, "it would leave the noise out"
    assert moved(noisy)
    assert pendulum.evaluate(1)["episode_len_mean"] > 0


class Asked(Exception):
    """Ends a step of the learner before it is compiled."""


def test_sac_with_a_memory_acts_by_its_policy_alone(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = build("Pendulum-v1", SAC, model={"fcnet_hiddens": [8], **MEMORY}, **REPLAYED)
    model, called = algorithm.policy.model, []

    def forward(self: Any, *rest: Any, of: Any) -> Any:
        called.append(self.name)
        if "q" in self.name.split("_"):
            raise Asked
        return of(self, *rest)

    for kind in {type(getattr(model, name)) for name in ("action_model", "q_memory", "twin_q_memory")}:
        monkeypatch.setattr(kind, "forward", partialmethod(forward, of=kind.forward))
    for explore in (False, True):
        algorithm.compute_single_action(np.zeros(3, np.float32), explore=explore)
    assert called
    with pytest.raises(Asked):
        algorithm.train()


# ------------------------------------------------------------------------------------ any space, any door


class Corridor(gym.Env[Any, Any]):
    """A part of each kind, with a mask; the longer an episode goes on, the more it earns."""

    observation_space = spaces.Dict(
        {
            "place": spaces.Discrete(5),
            "speed": spaces.Box(-1.0, 1.0, (2,)),
            "action_mask": spaces.MultiBinary(5),
        }
    )
    action_space = spaces.Tuple([spaces.Discrete(3), spaces.Discrete(2)])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self.steps = 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Any]:
        assert action[0] != 2, "masked"
        self.steps += 1
        return self._seen(), 1.0, self.steps == 7, False, {}

    def _seen(self) -> dict[str, Any]:
        speed = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        mask = np.array([1, 1, 0, 1, 1], np.int8)
        return {"place": np.int64(self.steps % 5), "speed": speed, "action_mask": mask}


def test_nested_spaces_with_masks_filters_and_whole_episodes(build: Build) -> None:
    algorithm = build(Corridor, batch_mode="complete_episodes", train_batch_size=28, minibatch_size=14)
    assert moved(algorithm)
    assert algorithm.evaluate(2)["episode_return_mean"] == 7.0
    console = Console(width=120)
    with console.capture() as shown:
        console.print(pipeline_tree(algorithm.policy, "Corridor"))
    assert "jax on cpu" in shown.get()
    assert "encoder.0" in shown.get()


class Menu(gym.Env[Any, Any]):
    """Actions told by their embeddings, or by nothing but their number."""

    observation_space = spaces.Dict(
        {
            "avail_actions": spaces.Box(-1.0, 1.0, (3, 2)),
            "cart": spaces.Box(-1.0, 1.0, (2,)),
            "action_mask": spaces.MultiBinary(3),
        }
    )
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self.steps = 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Any]:
        self.steps += 1
        return self._seen(), float(action), self.steps == 5, False, {}

    def _seen(self) -> dict[str, Any]:
        draw = self.np_random.uniform
        embeddings, cart = draw(-1, 1, (3, 2)).astype(np.float32), draw(-1, 1, 2).astype(np.float32)
        return {"avail_actions": embeddings, "cart": cart, "action_mask": np.array([1, 1, 0], np.int8)}


@pytest.mark.parametrize(
    ("env", "model"),
    [
        (Menu, {"parametric_actions": "given", "action_embedding_key": "avail_actions", "use_lstm": True}),
        (Corridor, {"autoregressive_actions": True}),
    ],
    ids=["parametric", "autoregressive"],
)
def test_actions_by_embeddings_and_in_parts(build: Build, env: type[gym.Env[Any, Any]], model: dict[str, Any]) -> None:
    algorithm = build(env, model=model, observation_filter="NoFilter")
    other = build(env, model=model, framework="torch", observation_filter="NoFilter")
    other.policy.load_weights(algorithm.policy.weights())
    trajectory = algorithm.fleet.gather(64)
    found = [next(one.updates(one.policy, trajectory)).rows for one in (algorithm, other)]
    np.testing.assert_allclose(found[0]["vf_preds"], found[1]["vf_preds"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[0]["action_logp"], found[1]["action_logp"].numpy(), rtol=1e-4, atol=1e-5)
    assert moved(algorithm)


class Pictures(gym.Env[Any, Any]):
    """Stacks of three pictures, of which the newest is stored."""

    observation_space = StackedFrames(0, 255, (20, 20, 3), stack=3)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self.steps, self.frames = 0, [self._picture()] * 3
        return np.stack(self.frames, axis=-1), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Any]:
        self.steps += 1
        self.frames = [*self.frames[1:], self._picture()]
        return np.stack(self.frames, axis=-1), 1.0, self.steps == 9, False, {}

    def _picture(self) -> Any:
        return self.np_random.integers(0, 256, (20, 20)).astype(np.uint8)


def test_stacks_of_pictures_are_stored_once_and_learnt_from(build: Build) -> None:
    model = {"conv_filters": [[4, [4, 4], 4], [8, [5, 5], 1]]}
    algorithm = build(Pictures, model=model, num_epochs=1, observation_filter="NoFilter")
    assert algorithm.policy.stacks == {0: 3}
    assert not algorithm.policy.model.runs_in_numpy
    trajectory = algorithm.fleet.gather(64)
    steps = next(algorithm.updates(algorithm.policy, trajectory))
    inputs = algorithm.learner.stacked(steps)
    assert inputs.stored["obs/0"].shape[1:] == (20, 20, 1)
    result = algorithm.learner.steps(steps)
    assert result.metrics["ratio_error"][0] <= 1e-5


def test_policies_are_loaded_alone(build: Build, tmp_path: Path) -> None:
    algorithm = build("Pendulum-v1")
    obs = np.zeros((5, 3), np.float32)
    loaded = Policy.load(algorithm.save(tmp_path))
    assert loaded.runtime.framework == "jax"
    np.testing.assert_array_equal(loaded.compute_actions(obs), algorithm.compute_actions(obs))


def test_the_command_line_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "run")
    words = ["train", "CartPole-v1", "--algo", "ppo", "--framework", "jax", "--preset", "none", "--seed", "0"]
    sizes = ["--train-batch-size", "64", "--minibatch-size", "32", "--num-epochs", "1", "--model.fcnet-hiddens", "8"]
    main([*words, *sizes, "--steps", "64", "--out", folder])
    assert Algorithm.load(folder).config.framework == "jax"


def test_what_is_not_installed_is_told_with_the_line(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda name: None if name == "jax" else find_spec(name))
    with pytest.raises(ConfigError, match=r"jax is not installed: pip install 'anyspace\[jax\]'"):
        build()


@pytest.mark.parametrize(("release", "is_old"), [("0.6.0", True), ("0.5.3", True), ("0.6.1", False), ("0.10.2", False)])
def test_an_older_jax_is_refused(release: str, is_old: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "version", lambda package: release)
    if is_old:
        with pytest.raises(ConfigError, match=rf"needs jax 0\.6\.1 or later, but {release} is .*--upgrade jax"):
            backends.backend_of("jax")
    else:
        assert backends.backend_of("jax") is backends.BACKENDS["jax"]


def test_neither_the_library_nor_torch_loads_jax() -> None:
    check = (
        "import anyspace, sys; anyspace.PPO; anyspace.models; assert not {'jax', 'flax', 'equinox'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
