"""Who says that a distribution built anew from stored inputs is still the one that was stored."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Discrete, Tuple

from anyspace import distributions
from anyspace.distributions import ActionDistribution, Categorical, MultiActionDistribution


class Cooler(Categorical):
    """Another temperature."""

    def __init__(self, inputs: Any, model: Any = None, *, mask: Any = None) -> None:
        super().__init__(inputs, model, mask=mask, temperature=0.5)


class WithAHead(Categorical):
    """Its logits come from the model."""

    @cached_property
    def logits(self) -> Any:
        return self.model.head(self.inputs)


class FromContext(Categorical):
    """The same by another way, which shows in the width of the model's output alone."""

    def __init__(self, inputs: Any, model: Any) -> None:
        super().__init__(model.head(inputs), model)

    @staticmethod
    def required_model_output_shape(action_space: Any, model_config: Any) -> int:
        return 16


class WithAHeadAndCooler(WithAHead):
    """Another temperature."""

    def __init__(self, inputs: Any, model: Any) -> None:
        super().__init__(inputs, model, temperature=0.5)


class Own(ActionDistribution):
    """One of a user's own."""

    def logp(self, actions: Any) -> Any:
        return self.inputs[:, 0]


class Explicit(Own):
    """One that says what cannot be seen."""

    depends_on_model = False

    def logp(self, actions: Any) -> Any:
        return self.inputs[:, 1]


@pytest.mark.parametrize("name", distributions.__all__)
def test_built_in_ones_are_made_of_their_inputs(name: str) -> None:
    expected = name in ("ActionDistribution", "AutoregressiveActions")
    assert getattr(distributions, name).depends_on_model is expected


@pytest.mark.parametrize(
    ("kind", "depends"),
    [
        (Cooler, False),
        (WithAHead, True),
        (FromContext, True),
        (WithAHeadAndCooler, True),
        (Own, True),
        (Explicit, False),
    ],
)
def test_classes_of_users(kind: type[ActionDistribution], depends: bool) -> None:
    assert kind.depends_on_model is depends


@pytest.mark.parametrize(("child", "depends"), [(Categorical, False), (Cooler, False), (Own, True)])
def test_a_composite_depends_where_a_child_does(child: type[ActionDistribution], depends: bool) -> None:
    class Mine(MultiActionDistribution):
        def logp(self, actions: Any) -> Any:
            return super().logp(actions)

    for kind, expected in ((MultiActionDistribution, depends), (Mine, True)):
        dist = kind(
            np.zeros((1, 4)),
            child_distributions=[Categorical, child],
            input_lens=[2, 2],
            action_space=Tuple((Discrete(2), Discrete(2))),
        )
        assert dist.depends_on_model is expected


def test_an_entropy_that_is_an_estimate_asks_for_a_source() -> None:
    class Estimated(Own):
        def entropy(self, rng: Any = None) -> Any:
            return rng

    class Plain(Own):
        def entropy(self) -> Any:
            return 5.0

    asked: list[int] = []
    assert Estimated(np.zeros((1, 1))).entropy_from(lambda: asked.append(1) or "source") == "source"
    assert Plain(np.zeros((1, 1))).entropy_from(lambda: asked.append(1)) == 5.0
    assert asked == [1]


class Later(Categorical):
    """Puts other inputs in once it is built."""

    def __init__(self, inputs: Any, model: Any = None) -> None:
        super().__init__(inputs, model)
        self.inputs = -inputs


class LaterChoices(distributions.MultiCategorical):
    """The same for several choices."""

    def __init__(self, inputs: Any, model: Any = None) -> None:
        super().__init__(inputs, model, input_lens=[2, 1])
        self.inputs = -inputs


@pytest.mark.parametrize("kind", [Later, LaterChoices])
def test_inputs_that_a_class_puts_in_later_are_the_ones_that_count(kind: Any) -> None:
    logits = np.array([[0.0, 3.0, 1.0]], np.float32)
    built_in = Categorical(-logits) if kind is Later else distributions.MultiCategorical(-logits, input_lens=[2, 1])
    np.testing.assert_array_equal(kind(logits).deterministic_sample(), built_in.deterministic_sample())
    np.testing.assert_allclose(kind(logits).entropy(), built_in.entropy())


def test_parts_of_old_distributions_are_named_where_they_are_not() -> None:
    with pytest.raises(AttributeError, match=r"'Categorical' object has no attribute 'dist'. The classes of anyspace"):
        _ = Categorical(np.zeros((1, 2))).dist
    with pytest.raises(AttributeError, match=r"no attribute 'other'$"):
        _ = Categorical(np.zeros((1, 2))).other
