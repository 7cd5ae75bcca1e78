"""Between one environment and many, for every kind of space."""

from __future__ import annotations

import copy
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space, iterate

from anyspace.data.batching import StackedActions, VectorMember, take_rows
from anyspace.data.environments import EnvSpec
from anyspace.data.infos import with_reset
from anyspace.data.rendering import pictured
from anyspace.data.sources import make_source
from anyspace.data.vector import VectorSource
from anyspace.errors import EnvironmentSetupError, ObservationError
from anyspace.spaces import Repeated, bounded
from tests.support.catalogue import ACTION_SPACES, OBSERVATION_SPACES, rows_of, stacked
from tests.support.environments import Remembers, Samples, Script

UNBOUNDED: dict[str, gym.Space[Any]] = {
    "sequence without a longest length": spaces.Sequence(spaces.Discrete(3)),
    "stacked sequence without one": spaces.Sequence(spaces.Box(-1, 1, (2,)), stack=True),
    "graph without a largest size": spaces.Graph(spaces.Box(-1, 1, (2,)), spaces.Discrete(3)),
}
EVERY = OBSERVATION_SPACES | UNBOUNDED

every_observation = pytest.mark.parametrize("name", EVERY)
every_mode = pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)


# ---------------------------------------------------------------------------------------------- rows


@every_observation
@pytest.mark.parametrize("rows", [[2], [3, 0, 3]], ids=str)
def test_rows_of_stacked_observations(name: str, rows: list[int]) -> None:
    space = EVERY[name]
    samples = [space.sample() for _ in range(4)]
    taken = take_rows(space, stacked(space, samples), np.array(rows, np.int64), len(samples))
    assert data_equivalence(taken, stacked(space, [samples[row] for row in rows]), exact=True)


def test_rows_of_what_other_vector_environments_stack_in_lists() -> None:
    space = spaces.Dict(words=Repeated(spaces.Discrete(3), 2), speed=spaces.Box(-1, 1, (2,)))
    batched = {"words": [[0], [1, 2], []], "speed": [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]}
    taken = take_rows(space, batched, np.array([1, 2]), 3)
    assert taken["words"] == ([1, 2], [])
    np.testing.assert_array_equal(taken["speed"], [[2, 3], [4, 5]])
    with pytest.raises(ObservationError, match=r"^last: expected a row for each of 4 environments, got 3\."):
        take_rows(space, batched, np.array([1, 2]), 4, "last")


@every_observation
@every_mode
def test_sources_hand_over_every_kind_of_observation(name: str, mode: AutoresetMode) -> None:
    """Episodes have two steps; the environments remember what they showed."""
    envs = [Samples(EVERY[name], spaces.Discrete(2)) for _ in range(3)]
    source = VectorSource(SyncVectorEnv([lambda env=env: env for env in envs], autoreset_mode=mode))  # type: ignore[misc]
    check_what_was_seen(source, lambda b: envs[b].seen)


@every_observation
def test_environments_in_this_process(name: str) -> None:
    source = make_source(EnvSpec(Samples, {"observation_space": EVERY[name], "action_space": spaces.Discrete(2)}), 3)
    envs: Any = source.envs
    check_what_was_seen(source, lambda b: envs.envs[b].unwrapped.seen)


@pytest.mark.parametrize(
    "name",
    ["box", "tuple in dict in tuple", "stacked frames", "simplex", "text", "one of lists", "all mixed", *UNBOUNDED],
)
def test_environments_in_processes_of_their_own(name: str) -> None:
    spec = EnvSpec(lambda: Samples(copy.deepcopy(EVERY[name]), spaces.Discrete(2)))
    source, alike = make_source(spec, 2, "async"), make_source(spec, 2, "sync")
    try:
        assert data_equivalence(source.reset(seed=3)[0], alike.reset(seed=3)[0], exact=True)
        for ends in ([], [0, 1], []):
            one, other = (each.step(np.zeros(2, np.int64)) for each in (source, alike))
            for part in ("obs", "final_obs"):
                assert data_equivalence(getattr(one, part), getattr(other, part), exact=True)
            assert one.ended.tolist() == ends
    finally:
        source.close()


def check_what_was_seen(source: VectorSource, seen: Any) -> None:
    space, mode = source.observation_space, source.mode

    def expect(came: Any, moment: int) -> None:
        assert data_equivalence(came, stacked(space, [seen(b)[moment] for b in range(3)]), exact=True)

    expect(source.reset(seed=0)[0], 0)
    steps = []
    for _ in range(3):
        # Sources write into the same arrays again: what is to be kept has to be compared at once.
        steps.append(step := source.step(np.zeros(3, np.int64)))
        expect(step.obs, -1)
        if len(step.ended):
            expect(step.final_obs, -2)
    ended = [step.ended.tolist() for step in steps]
    assert ended == [[], [] if mode is AutoresetMode.NEXT_STEP else [0, 1, 2], []]
    assert len(seen(0)) == (4 if mode is AutoresetMode.NEXT_STEP else 5)


# ------------------------------------------------------------------------------------------- actions


@pytest.mark.parametrize("name", ACTION_SPACES)
def test_stacked_actions_are_split(name: str) -> None:
    space = ACTION_SPACES[name]
    actions = [space.sample() for _ in range(3)]
    batch = stacked(space, actions)
    split = list(iterate(StackedActions(space, 3), batch))
    assert data_equivalence(split, rows_of(space, batch, 3), exact=True)
    assert all(action in space for action in split)
    if name == "empty parts":
        assert split == [{"none": {}, "nothing": (), "some": action["some"]} for action in actions]
    else:
        np.testing.assert_equal(split, list(iterate(batch_space(space, 3), batch)))


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("name", ["empty parts", "dict of bits and shares", "tuple in dict in tuple"])
def test_environments_get_their_own_actions(name: str, vectorization: Any) -> None:
    space = ACTION_SPACES[name]
    source = make_source(EnvSpec(Remembers, {"action_space": space}), 3, vectorization)
    actions = [space.sample() for _ in range(3)]
    try:
        source.reset()
        source.step(stacked(space, actions))
        envs: Any = source.envs
        for (taken,), action in zip(envs.get_attr("actions"), actions, strict=True):
            assert taken in space
            assert data_equivalence(stacked(space, [taken]), stacked(space, [action]))
    finally:
        source.close()


# --------------------------------------------------------------------------------------------- masks


def allowed(episode: int, t: int) -> list[bool]:
    """The mask of eight actions in one step of one episode: two are allowed, which tell the two numbers."""
    return [number in (episode, 4 + t) for number in range(8)]


class Eight(Script):
    """Has eight actions."""

    action_space = spaces.Discrete(8)


class Masks(Eight):
    """Says which actions it allows, and in which step of which episode."""

    def action_masks(self) -> Any:
        return np.array(allowed(self.episode, self.t), np.int8)


class Tells(Eight):
    """Tells it in its infos instead."""

    def reset(self, **arguments: Any) -> Any:
        obs, info = super().reset(**arguments)
        return obs, {**info, "action_mask": allowed(self.episode, self.t)}

    def step(self, action: Any) -> Any:
        *rest, info = super().step(action)
        return *rest, {**info, "action_mask": np.array(allowed(self.episode, self.t), float)}


class Both(Tells):
    """Means what it tells."""

    def action_masks(self) -> Any:
        raise AssertionError("nobody asked")


class Outer(gym.Wrapper[Any, Any, Any, Any]):
    """A wrapper that says it for the environment."""

    def action_masks(self) -> Any:
        env: Any = self.unwrapped
        return tuple(allowed(env.episode, env.t))


class Indifferent(gym.Wrapper[Any, Any, Any, Any]):
    """A wrapper around the others."""


@pytest.mark.parametrize("env", [Masks, Tells, Both, lambda: Outer(Eight()), lambda: Indifferent(Masks())])
@pytest.mark.parametrize("mode", [*AutoresetMode, "async"], ids=lambda mode: getattr(mode, "name", mode))
def test_masks_are_among_the_infos(env: Any, mode: Any) -> None:
    """Episodes have 3 steps, then 1; the mask belongs to the observation, the last one's is in final_info."""
    if mode == "async":
        source = make_source(EnvSpec(env), 2, "async")
    else:
        makers = [lambda: VectorMember(env(), 0, "action_mask")] * 2
        source = VectorSource(SyncVectorEnv(makers, autoreset_mode=mode))
    try:
        infos = [source.reset()[1], *(source.step(np.zeros(2, np.int64)).infos for _ in range(4))]
    finally:
        source.close()
    later = [[0, 3], [1, 0]] if source.mode is AutoresetMode.NEXT_STEP else [[1, 0], [2, 0]]
    for info, mask in zip(infos, [[0, 0], [0, 1], [0, 2], *later], strict=True):
        assert info["action_mask"].dtype == np.bool_
        np.testing.assert_array_equal(info["action_mask"], [allowed(*mask)] * 2)
        assert info["_action_mask"].all()
    if source.mode is not AutoresetMode.NEXT_STEP:
        np.testing.assert_array_equal(infos[3]["final_info"]["action_mask"], [allowed(0, 3)] * 2)
        np.testing.assert_array_equal(infos[4]["final_info"]["action_mask"], [allowed(1, 1)] * 2)


def test_the_name_of_the_mask() -> None:
    assert "legal" in make_source(EnvSpec(Masks, action_mask_key="legal"), 1).reset()[1]
    assert make_source(EnvSpec(Masks, action_mask_key=None), 1).reset()[1].keys() == Script().reset()[1].keys() | {
        "_t",
        "_fresh",
    }
    assert "action_mask" not in make_source(EnvSpec(Script), 1).reset()[1]


class Nested(Script):
    """Allows by parts; all of one part is allowed in its first step."""

    action_space = spaces.Dict([("turn", spaces.Discrete(2)), ("push", spaces.Tuple([spaces.MultiDiscrete([3])]))])

    def step(self, action: Any) -> Any:
        return super().step(0)

    def action_masks(self) -> Any:
        push = (np.array([self.number, 1, 0]),)
        return {"turn": [1, 0], "push": push} if self.t else {"push": push}


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_nested_masks_survive(vectorization: Any) -> None:
    source = make_source(EnvSpec(Nested, {"number": 1}), 2, vectorization)
    try:
        np.testing.assert_array_equal(source.reset()[1]["action_mask"], [[1, 1, 1, 1, 0]] * 2)
        actions = {"turn": np.zeros(2, np.int64), "push": (np.zeros((2, 1), np.int64),)}
        np.testing.assert_array_equal(source.step(actions).infos["action_mask"], [[1, 0, 1, 1, 0]] * 2)
    finally:
        source.close()


class Wrong(Eight):
    """Gives ``mask`` from step 2 on."""

    def __init__(self, mask: Any):
        super().__init__()
        self.mask = mask

    def step(self, action: Any) -> Any:
        *rest, info = super().step(action)
        return *rest, {**info, "action_mask": self.mask if self.t > 1 else [True] * 8}


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones(9, bool), r"expected a mask of Discrete\(8\) as \[8\], got shape \[9\]"),
        (1, r"got shape \[\]"),
        (["True"] * 8, "a mask holds only 0 .* got 'True'"),
        (np.array(["False"] * 8), "a mask holds only 0 .* got 'False'"),
        ([2] * 8, "got 2"),
        ([np.nan] * 8, "got nan"),
        ([None] * 8, "got None"),
        ({"left": [1]}, "the mask has a part 'left', but Discrete"),
    ],
    ids=["wide", "number", "words", "array of words", "two", "nan", "nothing", "parts"],
)
def test_what_is_no_mask_is_refused_where_it_comes_from(mask: Any, message: str) -> None:
    """Gymnasium would turn some of these into the type of the other environment's mask, and words into True."""
    makers = [lambda: VectorMember(Wrong(True), 0, None), lambda: VectorMember(Wrong(mask), 1, "action_mask")]
    source = VectorSource(SyncVectorEnv(makers))
    source.reset()
    source.step(np.zeros(2, np.int64))
    with pytest.raises(ObservationError, match=rf"^environment 1: info\['action_mask'\]: .*{message}"):
        source.step(np.zeros(2, np.int64))


def test_a_mask_in_the_observation_goes_before_those_of_infos() -> None:
    class Seen(Wrong):
        observation_space = spaces.Dict(action_mask=spaces.MultiBinary(8))

        def _seen(self, last: Any) -> dict[str, Any]:
            return {"action_mask": np.ones(8, np.int8)}

    env = VectorMember(Seen("ours"), 0, "action_mask")
    env.reset()
    env.step(0)
    assert env.step(0)[-1]["action_mask"] == "ours"


class NoMetadata(Eight):
    metadata = None  # type: ignore[assignment]


def test_an_environment_without_metadata() -> None:
    with closing(make_source(EnvSpec(NoMetadata), 2)) as source:
        assert not source.is_limited
        source.reset(0)
    with pytest.raises(EnvironmentSetupError, match="it has no render modes"):
        pictured(EnvSpec(NoMetadata))


def test_no_observation_is_named() -> None:
    class Forgets(Script):
        def _seen(self, last: Any) -> Any:
            return None

    with pytest.raises(ObservationError, match=r"^environment 2: obs: expected a member of Dict\(.*got None"):
        VectorMember(Forgets(), 2).reset()


@pytest.mark.parametrize("name", UNBOUNDED)
def test_spaces_get_their_longest_length(name: str) -> None:
    source = make_source(EnvSpec(lambda: Samples(UNBOUNDED[name], spaces.Discrete(2)), max_len=5), 1)
    assert source.observation_space == bounded(UNBOUNDED[name], 5)


# ------------------------------------------------------------------------------------ infos of resets


def test_infos_of_sources_that_are_reset_from_here_are_like_those_of_others() -> None:
    """Environment 1 of three ends an episode in the first step, 0 in the third."""
    envs = [[Script(0, ((3, "terminated"),)), Script(1, ((1, "truncated"),))] for _ in range(2)]
    sources = [
        VectorSource(SyncVectorEnv([lambda env=env: env for env in group], autoreset_mode=mode))  # type: ignore[misc]
        for group, mode in zip(envs, (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED), strict=True)
    ]
    for source in sources:
        source.reset()
    for _ in range(4):
        theirs, ours = (source.step(np.zeros(2, np.int64)) for source in sources)
        np.testing.assert_array_equal(theirs.ended, ours.ended)
        for name in ("t", "fresh"):
            given = theirs.infos.get(f"_{name}", np.zeros(2, np.bool_))
            np.testing.assert_array_equal(given, ours.infos.get(f"_{name}", np.zeros(2, np.bool_)))
            if given.any():
                np.testing.assert_array_equal(theirs.infos[name][given], ours.infos[name][given])
        for name in ("t", "is_success"):
            for row in theirs.ended:
                assert theirs.infos["final_info"][name][row] == ours.infos["final_info"][name][row]


def test_infos_of_a_reset_take_the_place_of_the_ended() -> None:
    infos = {
        "t": np.array([1, 2, 3]),
        "old": np.array([1.0, 2.0, 3.0]),
        "_old": np.array([True, True, True]),
        "parts": {"x": np.array([4, 5, 6]), "gone": np.array([7, 8, 9]), "_gone": np.array([True, False, True])},
        "name": "vector",
    }
    reset = {"t": np.array([0, -2, 0]), "new": np.array([0, 1, 0]), "parts": {"x": np.array([0, -5, 0])}}
    merged = with_reset(infos, reset, np.array([1]))
    assert merged["t"].tolist() == [1, -2, 3]
    assert merged["new"].tolist() == [0, 1, 0]
    assert merged["_old"].tolist() == [True, False, True]
    assert merged["parts"]["x"].tolist() == [4, -5, 6]
    assert merged["parts"]["_gone"].tolist() == [True, False, True]
    assert merged["final_info"] is infos
    assert infos["t"].tolist() == [1, 2, 3]  # type: ignore[attr-defined]
