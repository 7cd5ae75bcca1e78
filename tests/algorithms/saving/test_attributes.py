"""What changes on an algorithm between its iterations, and has to be in its checkpoints."""

from __future__ import annotations

from collections import Counter, deque
from contextlib import closing, nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from anyspace import DQN, PPO
from anyspace.algorithms.saving import attributes
from anyspace.errors import ConfigError
from tests.algorithms.saving.test_checkpoints import SMALL
from tests.support.tasks import Endless


class Statistics:
    """Numbers, in an object of somebody's class."""

    def __init__(self) -> None:
        self.mean, self.latest = 0.0, []  # type: ignore[var-annotated]


class Knows:
    """Knows the algorithm."""

    def __init__(self, algorithm: Any) -> None:
        self.algorithm, self.sizes = algorithm, (4, 4)


def changing(first: Any, change: Any) -> type[PPO]:
    class Mine(PPO):
        def setup(self) -> None:
            super().setup()
            self.thing = first(self)

        def updates(self, policy: Any, trajectory: Any) -> Any:
            change(self)
            return (yield from super().updates(policy, trajectory))

    return Mine


def put(value: Any) -> Any:
    return lambda owner: setattr(owner, "thing", value)


CHANGES: dict[str, tuple[Any, Any, str]] = {
    "bool": (lambda owner: False, put(True), "Name it in parts(): return {**super().parts(), 'thing': self.thing}."),
    "text": (lambda owner: "a", put("b"), "'thing': self.thing}."),
    "list": (lambda owner: [], lambda owner: owner.thing.append(1.0), "Name it in parts()"),
    "dict": (lambda owner: {}, lambda owner: owner.thing.update(a=1.0), "Name it in parts()"),
    "item": (lambda owner: [[1], [2]], lambda owner: owner.thing[1].__setitem__(0, 3), "Name it in parts()"),
    "counter": (lambda owner: Counter(), lambda owner: owner.thing.update("ab"), "Name it in parts()"),
    "arrays": (lambda owner: deque(), lambda owner: owner.thing.append(np.zeros(2)), "Name it in parts()"),
    "tensors": (lambda owner: deque(), lambda owner: owner.thing.append(torch.zeros(2)), "a deque, which a checkpoint"),
    "set": (lambda owner: set(), lambda owner: owner.thing.add(1), "Keep a number, a text, a list, a dict or an array"),
    "object": (
        lambda owner: Statistics(),
        lambda owner: setattr(owner.thing, "mean", 1.0),
        "a Statistics, which a checkpoint would not hold. Let it derive from a class with state() and load_state()",
    ),
    "list in an object": (
        lambda owner: Statistics(),
        lambda owner: owner.thing.latest.append(torch.zeros(1)),
        "a Statistics, which a checkpoint would not hold",
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_changes_unnamed_is_refused(kind: str) -> None:
    first, change, remedy = CHANGES[kind]
    with closing(changing(first, change)(Endless, SMALL, preset="none")) as algorithm:
        with pytest.raises(ConfigError, match=r"^Mine changes self\.thing while training, ") as caught:
            algorithm.train()
        assert remedy in str(caught.value)


def test_what_changes_only_later_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def late(owner: Any) -> None:
        if owner.training_iteration > 0:
            owner.thing.append(owner.training_iteration)

    with closing(changing(lambda owner: [], late)(Endless, SMALL, preset="none")) as algorithm:
        for _ in range(4):
            algorithm.train()
    told = [message for message in caplog.messages if "Mine changes self.thing while training, which a" in message]
    assert len(told) == 1


@pytest.mark.parametrize(
    ("first", "change"),
    [
        (lambda owner: [64, 64], lambda owner: None),
        (lambda owner: {"a": (1, [2.0])}, put({"a": (1, [2.0])})),
        (lambda owner: Knows(owner), lambda owner: None),
        (lambda owner: None, lambda owner: setattr(owner, "thing", owner.policy)),
        (lambda owner: owner.kl_coeff, lambda owner: owner.thing._cell.assign(0.5)),
    ],
    ids=["constant", "equal", "knows the algorithm", "of this library", "named by another name"],
)
def test_what_stays_as_it_was_is_no_state(first: Any, change: Any) -> None:
    with closing(changing(first, change)(Endless, SMALL, preset="none")) as algorithm:
        for _ in range(2):
            algorithm.train()


def test_of_long_data_the_beginning_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes, "_MOST", 3)
    for place in (0, 5):
        with (
            closing(
                changing(
                    lambda owner: [0] * 9,
                    lambda owner, place=place: owner.thing.__setitem__(place, 1),
                )(Endless, SMALL, preset="none")
            ) as algorithm,
            pytest.raises(ConfigError) if place == 0 else nullcontext(),
        ):
            algorithm.train()


def test_equal_numbers_do_not_name_one_another() -> None:
    class Mine(DQN):
        def setup(self) -> None:
            super().setup()
            self.resets = 0  # as gradient_steps is

    with pytest.raises(ConfigError, match=r"^Mine\.setup\(\) sets self\.resets, which a checkpoint would not hold"):
        Mine(Endless)
