"""How large a GTrXL is, what it is shown, and how it encodes distances, in any framework.

Parisotto et al. 2019, "Stabilizing transformers for reinforcement learning".

Letters: S sequences, D width, M steps of memory.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box

from anyspace.config import require
from anyspace.errors import ConfigError, ModelError
from anyspace.models.modelv2 import State
from anyspace.models.view_requirement import ViewRequirement


@dataclass(frozen=True)
class GTrXLSizes:
    """How large a GTrXL is: the `attention_` keys of :class:`ModelConfig`, which says what each means and its range.

    ``GTrXLSizes.of({"attention_dim": 6, "attention_num_heads": 3, ...})`` has ``attention_dim`` 6 and ``num_heads`` 3.

    Raises:
        ConfigError: a size is out of range.
    """

    num_transformer_units: int = 1
    attention_dim: int = 64
    num_heads: int = 2
    memory_inference: int = 50
    memory_training: int = 50
    head_dim: int = 32
    position_wise_mlp_dim: int = 32
    init_gru_gate_bias: float = 2.0

    def __post_init__(self) -> None:
        memories = ("memory_inference", "memory_training")
        for item in dataclasses.fields(self):
            least = 0 if item.name in memories else 1
            value = getattr(self, item.name)
            if item.name != "init_gru_gate_bias":
                require(value >= least, item.name, value, f"a GTrXL needs at least {least}")
        if not self.memory:
            raise ConfigError(
                "memory_inference and memory_training (`attention_memory_inference` and `attention_memory_training` of"
                " `use_attention`) are both 0: attention would see the present step alone. Give one of them, or a model"
                " without memory."
            )

    @classmethod
    def of(cls, model_config: Mapping[str, Any]) -> GTrXLSizes:
        """Return what the `attention_` keys of a model configuration say."""
        names = [item.name for item in dataclasses.fields(cls)]
        return cls(**{name: model_config[f"attention_{name.removeprefix('attention_')}"] for name in names})

    @property
    def memory(self) -> int:
        """M, the steps that are kept: the more of what acting and training attend to."""
        return max(self.memory_inference, self.memory_training)

    @property
    def state_widths(self) -> list[int]:
        """The widths of the states: D for each block, and 1 for the number of steps."""
        return [self.attention_dim] * self.num_transformer_units + [1]

    def view_requirements(self) -> dict[str, ViewRequirement]:
        """Return the views of the network's states: the last M inputs of each block, and the last counter."""
        shift = -1 if self.memory == 1 else f"-{self.memory}:-1"
        return {
            f"state_in_{i}": ViewRequirement(
                f"state_out_{i}",
                space=Box(-math.inf, math.inf, (width,)),
                shift=shift if i < self.num_transformer_units else -1,
            )
            for i, width in enumerate(self.state_widths)
        }

    def require_state(self, state: State) -> None:
        """Check the state that a pass is given.

        Raises:
            ModelError: it has another number of arrays, or another shape.
        """
        if len(state) != len(self.state_widths):
            raise ModelError(
                f"GTrXL: a state of {len(self.state_widths)} arrays (each block's memory, and the number of steps) is"
                f" needed, but {len(state)} came. Begin with get_initial_state()."
            )
        *memories, counter = state
        sequences, shapes = counter.shape[0], [tuple(memory.shape) for memory in memories]
        if any(math.prod(shape) != sequences * self.memory * self.attention_dim for shape in shapes):
            raise ModelError(
                f"GTrXL: the memory of a block is [S, {self.memory}, {self.attention_dim}], the steps"
                f" before each of S = {sequences} sequences, but shapes {shapes} came. get_initial_state() gives one"
                " step, to be repeated."
            )


def position_encoding(length: int, dim: int) -> npt.NDArray[np.float32]:
    """Return the encodings [length, dim] of the distances length - 1 to 0, sines first, then cosines.

    Distance p has sin(p f_j) and cos(p f_j) with f_j = 10000^(-2j / dim); of an odd ``dim`` the last cosine is left
    out.
    """
    frequencies = 10_000.0 ** (-np.arange(0, dim, 2) / dim)
    angles = np.arange(length - 1, -1, -1)[:, None] * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :dim].astype(np.float32)
