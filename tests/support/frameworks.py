"""The frameworks that formulas are tested on, behind one small interface."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests run each little computation once: compiling it well costs far more than it gains.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import jax
import numpy as np
import torch


@dataclass(frozen=True)
class Framework:
    """How to make an array of NumPy data, a random source of a seed, and a call (compiled by JAX)."""

    name: str
    convert: Callable[[Any], Any]
    rng: Callable[[int], Any]
    kind: type
    run: Callable[..., Any] = lambda function, *arguments: function(*arguments)
    compiles: bool = False
    """Whether each new shape of an array costs it time."""

    def array(self, data: Any, dtype: Any = np.float32) -> Any:
        return self.convert(np.array(data, dtype))


FRAMEWORKS = [
    Framework("numpy", np.array, np.random.default_rng, np.ndarray),
    Framework("torch", torch.tensor, lambda seed: torch.Generator().manual_seed(seed), torch.Tensor),
    Framework("jax", jax.numpy.array, jax.random.key, jax.Array, lambda f, *x: jax.jit(f)(*x), True),
]
