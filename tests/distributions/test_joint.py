"""Actions as one joint option and numbers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from anyspace.distributions import (
    ActionDistribution,
    Categorical,
    DiagGaussian,
    GumbelSoftmax,
    MultiActionDistribution,
    MultiCategorical,
    SlateMultiCategorical,
    SquashedGaussian,
)
from anyspace.distributions.joint import JointActions
from tests.support.frameworks import Framework

SPACE = spaces.Tuple([spaces.Discrete(3), spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([4, 5])])
JOINT = JointActions(SPACE, [(3,), (), (4, 5)])
CHILDREN = [Categorical, SquashedGaussian, partial(MultiCategorical, input_lens=[4, 5])]


def close(ours: Any, expected: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(expected), rtol=tolerance, atol=tolerance)


def hybrid(inputs: Any, mask: Any = None) -> MultiActionDistribution:
    return MultiActionDistribution(
        inputs, mask=mask, child_distributions=CHILDREN, input_lens=[3, 4, 9], action_space=SPACE
    )


def test_what_is_enumerated_and_what_is_sampled() -> None:
    assert (JOINT.choices, JOINT.width, JOINT.counts, JOINT.kinds) == (60, 2, [3, 4, 5], ("discrete", "continuous"))
    alone = JointActions(spaces.Box(-1, 1, (2, 3)), [()])
    assert (alone.choices, alone.width, alone.kinds) == (1, 6, ("continuous",))
    assert JointActions(spaces.Discrete(1), [(1,)]).kinds == ("discrete",)
    assert JointActions(spaces.MultiBinary(3), [(2, 2, 2)]).choices == 8


def test_what_was_taken(framework: Framework) -> None:
    actions = (
        framework.array([2, 0], np.int64),
        framework.array([[0.5, -0.5], [0.25, 0.75]]),
        framework.array([[0, 1], [3, 4]], np.int64),
    )
    index, numbers = JOINT.taken(actions)
    close(index, [41, 19])
    close(numbers, [[0.5, -0.5], [0.25, 0.75]])
    index, numbers = JointActions(spaces.Discrete(3), [(3,)]).taken(framework.array([2, 1], np.int64))
    close(index, [2, 1])
    assert numbers is None
    index, numbers = JointActions(spaces.Box(-1, 1, ()), [()]).taken(framework.array([0.5, 1.0]))
    close(index, [0, 0])
    close(numbers, [[0.5], [1.0]])


def test_what_is_drawn(framework: Framework) -> None:
    """Probabilities of all choices, one sample of the numbers, and the entropies of both."""
    dist = hybrid(framework.array(0.3 * np.random.default_rng(0).normal(size=(5, 16))))
    drawn = JOINT.draw(dist, framework.rng(0))
    log_probs, joint = [np.asarray(part) for part in dist.option_log_probs()], np.asarray(drawn.log_probs)
    for option, combination in enumerate(np.ndindex(3, 4, 5)):
        close(joint[:, option], sum(part[:, i] for part, i in zip(log_probs, combination, strict=True)))
    close(np.exp(joint).sum(axis=1), np.ones(5))
    close(drawn.entropies["discrete"], -(np.exp(joint) * joint).sum(axis=1))
    gaussian = dist.children[1]
    close(drawn.entropies["continuous"], -np.asarray(gaussian.logp(drawn.numbers)), 1e-3)
    values = np.random.default_rng(1).normal(size=(5, 60))
    close(drawn.mean(framework.array(values)), (np.exp(joint) * values).sum(axis=1))
    targets = JOINT.entropy_targets(drawn)
    close(targets["discrete"], np.full(5, 0.98 * np.log(60)))
    assert targets["continuous"] == -2


def test_masks_lower_the_entropy_that_is_aimed_at(framework: Framework) -> None:
    first = framework.array([[1, 0, 1], [1, 1, 1]])
    second = framework.array([[0, 1, 0, 1, 1, 1, 1, 0, 0], [1] * 9])
    drawn = JOINT.draw(hybrid(framework.array(np.zeros((2, 16))), [first, None, second]), framework.rng(0))
    close(JOINT.entropy_targets(drawn)["discrete"], 0.98 * np.log([2 * 2 * 3, 60]))
    close(drawn.entropies["discrete"], np.log([2 * 2 * 3, 60]))


def test_without_choices_there_is_one_option(framework: Framework) -> None:
    joint = JointActions(spaces.Box(-1, 1, (2,)), [()])
    drawn = joint.draw(SquashedGaussian(framework.array(np.zeros((3, 4)))), framework.rng(0))
    assert drawn.log_probs.shape == (3, 1)
    assert drawn.entropies.keys() == {"continuous"}
    close(drawn.mean(framework.array([[1.0], [2.0], [3.0]])), [1, 2, 3])


class Whole(ActionDistribution):
    """Of a whole action, with nothing but a sample."""


@pytest.mark.parametrize(
    ("space", "options", "dist", "message"),
    [
        (SPACE, [(3,), (), (4, 5)], Whole(np.zeros((1, 2))), "Whole distributes the action as a whole, not leaf by"),
        (spaces.Discrete(3), [(3,)], GumbelSoftmax(np.zeros((1, 3))), r"GumbelSoftmax has no option_log_probs\(\)"),
        (
            spaces.MultiDiscrete([3, 3]),
            [(3, 3)],
            SlateMultiCategorical(np.zeros((1, 6)), action_space=spaces.MultiDiscrete([3, 3])),
            r"gives \[6\] options, but the choices have \[3, 3\]",
        ),
        (spaces.Discrete(3), [(3,)], DiagGaussian(np.zeros((1, 2))), r"gives \[\] options, but the choices have \[3\]"),
    ],
)
def test_distributions_that_do_not_fit(space: Any, options: Any, dist: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        JointActions(space, options).require_fit(dist)
