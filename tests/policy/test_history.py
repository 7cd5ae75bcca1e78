"""The history of running episodes, on arrays of every framework."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from anyspace import tree
from anyspace.models import ViewRequirement
from anyspace.policy.history import History, ModelViews
from tests.support.frameworks import FRAMEWORKS, Framework

WIDTH = 3
ACTIONS = Dict(push=Box(-1, 1, (2,)), move=Discrete(3))
VIEWS = {
    "last_obs": ViewRequirement("obs", shift="-2:0"),
    "prev_actions": ViewRequirement("actions", shift=[-1, -3]),
    "prev_rewards": ViewRequirement("rewards", shift=-2),
    "over": ViewRequirement("terminateds", shift=-1),
    "state_in_1": ViewRequirement("state_out_1", shift="-3:-1"),
    "later": ViewRequirement("new_obs", used_for_compute_actions=False),
    "state_in_2": ViewRequirement("state_out_2", shift=[-1, -4]),
}


@pytest.fixture(params=FRAMEWORKS, ids=lambda framework: framework.name)
def framework(request: pytest.FixtureRequest) -> Framework:
    chosen: Framework = request.param
    return chosen


def model_views(*, nested: bool = False) -> ModelViews:
    states = [np.full((2,), 7, np.float32), np.zeros((1, 2), np.float32), np.ones((), np.float32)]
    model: Any = SimpleNamespace(
        model_config={"_disable_action_flattening": nested},
        view_requirements=VIEWS,
        get_initial_state=lambda: states,
    )
    runtime: Any = None
    blank = {"push": np.zeros((1, 2), np.float32), "move": np.zeros(1, int)}
    return ModelViews(model, runtime, ACTIONS, lambda: blank)


def step_of(rng: np.random.Generator) -> dict[str, Any]:
    """Return what one step of all environments holds: NumPy arrays, nested."""
    width = WIDTH
    return {
        "obs": [rng.normal(size=(width, 4)).astype(np.float32), rng.integers(0, 9, width)],
        "raw": {"move": rng.integers(0, 3, width), "push": rng.normal(size=(width, 2)).astype(np.float32)},
        "rewards": rng.normal(size=width).astype(np.float32),
        "states": [rng.normal(size=(width, *shape)).astype(np.float32) for shape in ((2,), (1, 2), ())],
        "begun": rng.random(width) < 0.3,
    }


def shown(history: History, obs: Any) -> list[Any]:
    """Return everything that a model reads from a history, as NumPy arrays."""
    windows = history.acting_windows(obs)
    views = [window.spread(leaf) for window in windows.values() for leaf in window.leaves()]
    return [np.asarray(array) for array in (*history.states(), *views)]


@pytest.mark.parametrize("nested", [False, True])
def test_a_history_of_any_framework_shows_what_one_of_numpy_shows(framework: Framework, nested: bool) -> None:
    views, rng = model_views(nested=nested), np.random.default_rng(0)
    steps = [step_of(rng) for _ in range(12)]
    ours = [tree.map_leaves(framework.convert, step) for step in steps]
    numpys, theirs = History.before(views, steps[0]["obs"]), History.before(views, ours[0]["obs"])
    for now, (one, other) in enumerate(zip(steps[:-1], ours[:-1], strict=True)):
        for expected, came in zip(shown(numpys, one["obs"]), shown(theirs, other["obs"]), strict=True):
            np.testing.assert_array_equal(came, expected)
        numpys = following(numpys, one, steps[now + 1])
        theirs = following(theirs, other, ours[now + 1])
        assert all(isinstance(leaf, framework.kind) for leaves in theirs.windows.values() for leaf in leaves)


def following(history: History, step: dict[str, Any], after: dict[str, Any]) -> History:
    columns = history.views.columns(step["obs"], step["raw"], step["rewards"], step["states"])
    return history.after(columns, step["begun"], after["obs"])


def test_the_example_of_the_docstring() -> None:
    views = model_views()
    obs = [np.zeros((2, 4), np.float32), np.zeros(2, int)]
    history = History(views, {"rewards": [np.array([[2, 8], [3, 9]], np.float32)]})
    step = {"rewards": [np.array([4, 4], np.float32)]}
    after = history.after(step, np.array([False, True]), obs)
    assert after.windows["rewards"][0].tolist() == [[3, 0], [4, 0]]
    assert history.windows["rewards"][0].tolist() == [[2, 8], [3, 9]]


def test_a_windows_index_looks_at_steps_row_by_row() -> None:
    views = model_views()
    obs = [np.zeros((2, 4), np.float32), np.zeros(2, int)]
    window = History.before(views, obs).acting_windows(obs)["last_obs"]
    assert window.index.tolist() == [[0, 2, 4], [1, 3, 5]]


def test_views_of_training_and_of_acting_are_told_apart() -> None:
    views = model_views()
    assert views.training_views().keys() - views.acting_views().keys() == {"later"}
