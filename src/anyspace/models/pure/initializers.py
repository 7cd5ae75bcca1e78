"""How weights and biases start: NumPy's side of the initialiser keys, by the names and arguments of ``torch.nn.init``.

An initialiser fills an array in place: weights [out, in], kernels [out, in, height, width] or biases [out].
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from anyspace.maths.arrays import Floats
from anyspace.models import initializers
from anyspace.models.initializers import ERRORS, Fill, misfit, named


class Initializer(Protocol):
    """Fills an array in place, with draws from a generator."""

    def __call__(self, array: Floats, rng: np.random.Generator) -> None:
        """Fill the array."""


def zeros(array: Floats, rng: np.random.Generator) -> None:
    """Fill with zeros."""
    array[...] = 0.0


def ones(array: Floats, rng: np.random.Generator) -> None:
    """Fill with ones."""
    array[...] = 1.0


def constant(array: Floats, rng: np.random.Generator, val: float) -> None:
    """Fill with one value."""
    array[...] = val


def uniform(array: Floats, rng: np.random.Generator, a: float = 0.0, b: float = 1.0) -> None:
    """Fill with even draws from [a, b)."""
    array[...] = rng.uniform(a, b, array.shape)


def normal(array: Floats, rng: np.random.Generator, mean: float = 0.0, std: float = 1.0) -> None:
    """Fill with normal draws."""
    array[...] = rng.normal(mean, std, array.shape)


def trunc_normal(
    array: Floats, rng: np.random.Generator, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> None:
    """Fill with normal draws, each drawn again until it lies in [a, b]."""
    array[...] = rng.normal(mean, std, array.shape)
    for _ in range(1000):
        outside = (array < a) | (array > b)
        if not outside.any():
            return
        array[outside] = rng.normal(mean, std, int(outside.sum()))
    raise ValueError(f"next to no normal draw of mean {mean} and deviation {std} lies between {a} and {b}")


def normc(array: Floats, rng: np.random.Generator, scale: float = 1.0) -> None:
    """Fill with normal draws, then scale those of each output to L2 norm ``scale``.

    Raises:
        ValueError: the array has fewer than two dimensions.
    """
    _fans(array)
    array[...] = rng.standard_normal(array.shape)
    norms = np.linalg.norm(array.reshape(len(array), -1), axis=1)
    array *= (scale / norms).reshape(-1, *(1,) * (array.ndim - 1))


def fan_in_uniform(array: Floats, rng: np.random.Generator) -> None:
    """Fill with even draws within 1 / sqrt(in), as layers of PyTorch do."""
    uniform(array, rng, -(bound := 1.0 / math.sqrt(_fans(array)[0])), bound)


def xavier_uniform(array: Floats, rng: np.random.Generator, gain: float = 1.0) -> None:
    """Fill with even draws of variance 2 gain^2 / (in + out). Glorot and Bengio, 2010."""
    uniform(array, rng, -(bound := gain * math.sqrt(6.0 / sum(_fans(array)))), bound)


def xavier_normal(array: Floats, rng: np.random.Generator, gain: float = 1.0) -> None:
    """Fill with normal draws of variance 2 gain^2 / (in + out)."""
    normal(array, rng, 0.0, gain * math.sqrt(2.0 / sum(_fans(array))))


def kaiming_uniform(
    array: Floats,
    rng: np.random.Generator,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> None:
    """Fill with even draws of variance gain^2 / in, or out. He et al., 2015."""
    uniform(array, rng, -(bound := math.sqrt(3.0) * _kaiming(array, a, mode, nonlinearity)), bound)


def kaiming_normal(
    array: Floats,
    rng: np.random.Generator,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> None:
    """Fill with normal draws of variance gain^2 / in, or out. He et al., 2015."""
    normal(array, rng, 0.0, _kaiming(array, a, mode, nonlinearity))


def orthogonal(array: Floats, rng: np.random.Generator, gain: float = 1.0) -> None:
    """Fill with a matrix [out, all else] whose rows, or columns where there are fewer, are orthonormal times gain."""
    _fans(array)
    rows, columns = len(array), array.size // len(array)
    square, upper = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    square *= np.sign(np.diag(upper))
    array[...] = gain * (square if rows >= columns else square.T).reshape(array.shape)


def eye(array: Floats, rng: np.random.Generator) -> None:
    """Fill with the identity.

    Raises:
        ValueError: the array has another number of dimensions than two.
    """
    if array.ndim != 2:
        raise ValueError("only arrays of 2 dimensions can be an identity")
    array[...] = np.eye(*array.shape)


def dirac(array: Floats, rng: np.random.Generator) -> None:
    """Fill kernels [out, in, height, width] so that each output is the input of its number.

    Raises:
        ValueError: the array has another number of dimensions than four.
    """
    if array.ndim != 4:
        raise ValueError("only kernels, arrays of 4 dimensions, can pass their input on")
    array[...] = 0.0
    same = np.arange(min(array.shape[:2]))
    array[same, same, array.shape[2] // 2, array.shape[3] // 2] = 1.0


_KNOWN: dict[str, Fill] = {
    fill.__name__: fill
    for fill in (
        *(zeros, ones, constant, uniform, normal, trunc_normal, normc, fan_in_uniform, xavier_uniform, xavier_normal),
        *(kaiming_uniform, kaiming_normal, orthogonal, eye, dirac),
    )
}

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2.0), "selu": 0.75}


def initializer_of(model_config: Mapping[str, Any], key: str) -> Initializer | None:
    """Return the function that a key names; see :func:`anyspace.models.initializers.initializer_of`."""
    return initializers.initializer_of(model_config, key, _KNOWN, _initialise)


def _initialise(
    array: Floats,
    rng: np.random.Generator,
    *,
    initializer: str | Fill,
    config: Mapping[str, Any] | None,
    key: str,
) -> None:
    fill = named(initializer, key, _KNOWN)
    # A function of a user is called with the array alone.
    own = (rng,) if fill in _KNOWN.values() else ()
    try:
        inspect.signature(fill).bind(array, *own, **(config or {}))
        fill(array, *own, **(config or {}))
    except ERRORS as error:
        raise misfit(error, initializer, config, array.shape, key) from error


def _fans(array: Floats) -> tuple[int, int]:
    """Return how many numbers an output is made of, and how many an input goes into."""
    if array.ndim < 2:
        raise ValueError("only arrays with 2 or more dimensions have weights to an output")
    field = math.prod(array.shape[2:])
    return array.shape[1] * field, array.shape[0] * field


def _kaiming(array: Floats, a: float, mode: str, nonlinearity: str) -> float:
    """Return the deviation of Kaiming's initialisers."""
    fans = dict(zip(("fan_in", "fan_out"), _fans(array), strict=True))
    gains = {**_GAINS, "leaky_relu": math.sqrt(2.0 / (1.0 + a**2))}
    if mode not in fans or nonlinearity not in gains:
        raise ValueError(f"expected one of {', '.join(fans)} and one of {', '.join(gains)}")
    return gains[nonlinearity] / math.sqrt(fans[mode])
