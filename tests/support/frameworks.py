"""The frameworks that formulas are tested on, behind one small interface."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests run each little computation once: compiling it well costs far more than it gains.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import numpy as np
import torch


@dataclass(frozen=True)
class Framework:
    """How to make an array of NumPy data, a random source of a seed, and a call (compiled by JAX and TensorFlow)."""

    name: str
    convert: Callable[[Any], Any]
    rng: Callable[[int], Any]
    kind_of: Callable[[], type]
    run: Callable[..., Any] = lambda function, *arguments: function(*arguments)
    compiles: bool = False
    """Whether each new shape of an array costs it time."""

    @property
    def kind(self) -> type:
        """The type of its arrays."""
        return self.kind_of()

    def array(self, data: Any, dtype: Any = np.float32) -> Any:
        return self.convert(np.array(data, dtype))


def tensorflow() -> ModuleType:
    """Import TensorFlow, which takes seconds, when it is first asked for."""
    import tensorflow as tf

    return tf


FRAMEWORKS = [
    Framework("numpy", np.array, np.random.default_rng, lambda: np.ndarray),
    Framework("torch", torch.tensor, lambda seed: torch.Generator().manual_seed(seed), lambda: torch.Tensor),
    Framework("jax", jax.numpy.array, jax.random.key, lambda: jax.Array, lambda f, *x: jax.jit(f)(*x), True),
    Framework(
        "tensorflow",
        lambda data: tensorflow().constant(data),
        lambda seed: tensorflow().constant([seed, 0]),
        lambda: tensorflow().Tensor,
        lambda f, *x: tensorflow().function(f, autograph=False)(*x),
        True,
    ),
]
