"""GTrXL over features: its blocks, its memory, and the steps of the memory that a step attends to.

Parisotto et al. 2019, "Stabilizing transformers for reinforcement learning".

Letters: N rows, S sequences of T steps each (N = S T), D width, L blocks, M steps of memory.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium.spaces import Box
from torch import nn

from anyspace.config import require
from anyspace.errors import ModelError
from anyspace.models.modelv2 import State
from anyspace.models.torch.gtrxl_layers import GTrXLBlock, position_encoding
from anyspace.models.torch.layers import xavier
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
        require(
            self.memory > 0,
            "memory_inference",
            0,
            "memory_training is 0 as well: attention would see the present step alone. Give one of them, or a model"
            " without memory",
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


class GTrXL(nn.Module):
    """Gated Transformer-XL over features: features of each step that take the steps before into account.

    A step attends to itself and to ``memory_inference`` steps before it (in gradient steps, ``memory_training``). It
    makes no difference where sequences are cut and which of these steps come from memory. Steps before the episode are
    never attended to. So acting step by step gives the same as one pass over the sequence.

    The state has each block's inputs of the last M steps and, last, the number of steps that the episode had. With one
    block, D = 2 and M = 3, after two steps of an episode with block inputs a and b, it is [[0, 0], a, b] and [2].

    Args:
        width_in: width of the features.
        sizes: of the network.
    """

    positions: torch.Tensor

    def __init__(self, width_in: int, sizes: GTrXLSizes):
        super().__init__()
        self.sizes = sizes
        dim = sizes.attention_dim
        self.embedding = xavier(width_in, dim, bias=True)
        self.blocks = nn.ModuleList(
            GTrXLBlock(dim, sizes.num_heads, sizes.head_dim, sizes.position_wise_mlp_dim, sizes.init_gru_gate_bias)
            for _ in range(sizes.num_transformer_units)
        )
        self.register_buffer("positions", position_encoding(sizes.memory + 1, dim), persistent=False)

    def initial_state(self) -> State:
        """Return zeros: [D] for each block and [1] for the number of steps."""
        device = self.positions.device
        return [
            *(torch.zeros(self.sizes.attention_dim, device=device) for _ in self.blocks),
            torch.zeros(1, device=device),
        ]

    def view_requirements(self, max_seq_len: int) -> dict[str, ViewRequirement]:
        """Return the views of the network's states: the last M inputs of each block, and the last counter."""
        memory = self.sizes.memory
        shifts = [-1 if memory == 1 else f"-{memory}:-1"] * len(self.blocks) + [-1]
        widths = [self.sizes.attention_dim] * len(self.blocks) + [1]
        return {
            f"state_in_{i}": ViewRequirement(
                f"state_out_{i}",
                space=Box(-math.inf, math.inf, (width,)),
                shift=shift,
                batch_repeat_value=max_seq_len,
            )
            for i, (shift, width) in enumerate(zip(shifts, widths, strict=True))
        }

    def forward(
        self,
        features: torch.Tensor,
        state: State,
        seq_lens: torch.Tensor | None = None,
        *,
        training: bool = False,
        time_major: bool = False,
    ) -> tuple[torch.Tensor, State]:
        """Return features [N, D] and, of every row, the inputs of each block [N, D] and the counter [N, 1].

        Args:
            features: [N, width_in], sequence after sequence. Sequences that are shorter are padded on the right; what
                the padding holds matters to no other row.
            state: for each block its inputs of the M steps before the sequence, [S, M, D], oldest first (where M is 1,
                also [S, D]); last, [S, 1], how many of these steps belong to the episode, which may be more than M.
            seq_lens: [S] lengths of the sequences, so that no work is done for the padding; None: nothing is padding.
            training: whether this is a gradient step.
            time_major: the rows that are returned lie step after step.

        Raises:
            ModelError: the state has another number of arrays, or another shape.
        """
        if len(state) != len(self.blocks) + 1:
            raise ModelError(
                f"GTrXL: a state of {len(self.blocks) + 1} arrays (each block's memory, and the number of steps) is"
                f" needed, but {len(state)} came. Begin with get_initial_state()."
            )
        *memories, counter = state
        sequences = len(counter)
        wanted = sequences * self.sizes.memory * self.sizes.attention_dim
        if any(memory.numel() != wanted for memory in memories):
            shapes = [tuple(memory.shape) for memory in memories]
            raise ModelError(
                f"GTrXL: the memory of a block is [S, {self.sizes.memory}, {self.sizes.attention_dim}], the steps"
                f" before each of S = {sequences} sequences, but shapes {shapes} came. get_initial_state() gives one"
                " step, to be repeated."
            )
        x: torch.Tensor = self.embedding(features)
        x = x.view(sequences, -1, x.shape[1])
        steps = x.shape[1]
        reach = self.sizes.memory_training if training else self.sizes.memory_inference
        positions = self.positions[self.sizes.memory - reach :]
        keys = torch.arange(-reach, steps, device=x.device)
        mask = (keys >= -counter)[:, None] if reach else None  # [S, 1, K]
        real = None
        if seq_lens is not None and steps > 1:
            real = (keys[reach:] < seq_lens[:, None]).flatten().nonzero().squeeze(1)
            real = None if len(real) == sequences * steps else real

        def rows(x: torch.Tensor) -> torch.Tensor:
            return (x.transpose(0, 1) if time_major else x).reshape(sequences * steps, -1)

        state_out = []
        for block, memory in zip(self.blocks, memories, strict=True):
            state_out.append(rows(x))
            memory = memory.reshape(sequences, self.sizes.memory, -1)
            x = block(x, memory[:, self.sizes.memory - reach :], positions, mask, real)
        return rows(x), [*state_out, rows(counter[:, None] + (keys[reach:, None] + 1))]
