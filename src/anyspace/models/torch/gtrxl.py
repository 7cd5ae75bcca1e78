"""GTrXL over features: its blocks, its memory, and the steps of the memory that a step attends to.

Parisotto et al. 2019, "Stabilizing transformers for reinforcement learning".

Letters: N rows, S sequences of T steps each (N = S T), D width, L blocks, M steps of memory.
"""

from __future__ import annotations

import torch
from torch import nn

from anyspace.models.gtrxl import GTrXLSizes
from anyspace.models.modelv2 import State
from anyspace.models.torch.gtrxl_layers import GTrXLBlock, position_encoding
from anyspace.models.torch.layers import xavier


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
        return [torch.zeros(width, device=self.positions.device) for width in self.sizes.state_widths]

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
        self.sizes.require_state(state)
        *memories, counter = state
        sequences = len(counter)
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
