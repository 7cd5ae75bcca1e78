"""Distributions of old files on TensorFlow; nothing in them needs more than arrays."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import MultiDiscrete

from anyspace import distributions
from anyspace._rllib.tf import dists as old
from anyspace.importing import import_name

INPUTS = np.array([[0.5, -1.0, 2.0, 0.25], [1.0, 0.0, -2.0, 3.0]], np.float32)
SLATES = MultiDiscrete([4])


def source() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize(
    ("name", "positional", "named"),
    [
        ("Categorical", (0.5,), {"temperature": 0.5}),
        ("MultiCategorical", ([1, 3],), {"input_lens": [1, 3]}),
        ("MultiCategorical", ([2, 2], MultiDiscrete([2, 2])), {"input_lens": [2, 2]}),
        ("SlateMultiCategorical", (0.5, SLATES), {"temperature": 0.5, "action_space": SLATES}),
        ("GumbelSoftmax", (0.5,), {"temperature": 0.5}),
        ("SquashedGaussian", (-2.0, 2.0), {"low": -2.0, "high": 2.0}),
        ("Beta", (0.0, 2.0), {"low": 0.0, "high": 2.0}),
        ("DiagGaussian", (), {}),
        ("Deterministic", (), {}),
        ("Dirichlet", (), {}),
    ],
)
def test_parameters_stand_where_they_stood(name: str, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    kind, today = getattr(old, name), getattr(distributions, name)
    made, expected = kind(INPUTS, None, *positional), today(INPUTS, None, **named)
    assert isinstance(made, old.TFActionDistribution)
    np.testing.assert_array_equal(made.sample(source()), expected.sample(source()))
    np.testing.assert_array_equal(made.sampled_action_logp(), expected.sampled_action_logp())
    for flag in ("has_entropy", "has_kl", "depends_on_model", "sample_takes_rng", "_noise_ahead"):
        assert getattr(kind, flag) == getattr(today, flag)


def test_a_default_temperature() -> None:
    kind = old.get_categorical_class_with_temperature(2.0)
    np.testing.assert_array_equal(kind(INPUTS).probs, distributions.Categorical(INPUTS, temperature=2.0).probs)
    assert kind(INPUTS, None, 3.0).temperature == 3.0
    with pytest.raises(TypeError, match="needs the action_space"):
        old.SlateMultiCategorical(INPUTS)


@pytest.mark.parametrize("base", ["Categorical", "Beta", "TFActionDistribution"])
def test_what_builds_the_sample_is_what_samples(base: str) -> None:
    """A class may build upon the sample of its base, and is asked for one sample."""

    class Mine(getattr(old, base)):  # type: ignore[misc]
        def _build_sample_op(self) -> Any:
            return np.zeros(2, np.int64) if base == "TFActionDistribution" else 0 * super()._build_sample_op() + 0.25

        def logp(self, actions: Any) -> Any:
            return 7 * np.asarray(actions)

    made = Mine(INPUTS, None)
    assert made.sample() is made.sample() is made.sample_op is made.path_sample()
    np.testing.assert_array_equal(made.sampled_action_logp(), made.sampled_action_logp_op)
    assert made.draw_noise(source(), 2) is None
    assert not made.sample_takes_rng
    if base != "TFActionDistribution":
        assert (made.sample_op == 0.25).all()
    with pytest.raises(NotImplementedError, match=r"TFActionDistribution has no sample\(\)"):
        old.TFActionDistribution(INPUTS).sample()


@pytest.mark.parametrize("name", ["Categorical", "MultiCategorical", "DiagGaussian", "Beta", "Dirichlet"])
def test_rows_may_be_of_an_unknown_number(name: str) -> None:
    """As those of recorded steps within a compiled step are."""
    kind = partial(getattr(old, name), model=None, **({"input_lens": [2, 2]} if name == "MultiCategorical" else {}))
    actions = kind(tf.constant(INPUTS)).sample(tf.constant([1, 2]))

    def of(inputs: Any, actions: Any) -> Any:
        made = kind(inputs)
        drawn = made.sample(tf.constant([3, 4]))
        return made.logp(actions), made.deterministic_sample(), drawn

    unknown = [tf.TensorSpec([None, *one.shape[1:]], one.dtype) for one in (tf.constant(INPUTS), actions)]
    found = tf.function(of, input_signature=unknown, autograph=False)(INPUTS, actions)
    for one, expected in zip(found, of(tf.constant(INPUTS), actions), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "compat:sequence_mask",
        "compat_dists:Categorical",
        "compat_functions:huber_loss",
        "compat_layers:GRUGate",
        "keras_networks:VisionNetwork",
        "tf1:Store",
    ],
)
def test_modules_have_their_earlier_names_too(name: str) -> None:
    found = import_name(f"anyspace.models.tf.{name}")
    assert found.__module__.startswith("anyspace._rllib.tf.")
