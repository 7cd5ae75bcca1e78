"""Actions with embeddings, over arrays: a head on top of any model, with memory or without."""

from __future__ import annotations

import numpy as np

from anyspace.maths.arrays import Floats
from anyspace.maths.xp import Array
from anyspace.models.input_dict import InputDict
from anyspace.models.parametric_actions import ParametricActions
from anyspace.models.pure.base import ArrayModel, in_numpy
from anyspace.models.pure.drawing import Drawing
from anyspace.models.pure.initializers import normc
from anyspace.models.runtime import NumpyForward


class ParametricActionsModel(ParametricActions, ArrayModel):
    """Logits of actions by their embeddings; see :class:`anyspace.models.parametric_actions.ParametricActions`."""

    def _add_table(self, shape: tuple[int, int] | None) -> None:
        draw = Drawing(self.framework, self.model_config)
        if shape is not None:
            draw.filled("embeddings.weight", shape, normc)
        self.adopt(draw.weights)

    def _table(self) -> Array | None:
        return self.weights.get("embeddings.weight")

    def forward_pass(self) -> NumpyForward:
        """Return the pass beneath, made once, and the scores of what it gives."""
        assert isinstance(self.base, ArrayModel)
        beneath, table = self.base.forward_pass(), in_numpy(self.weights).get("embeddings.weight")

        def forward(inputs: InputDict, state: list[Floats]) -> tuple[Floats, list[Floats]]:
            columns = self.columns_beneath(inputs)
            assert isinstance(columns, InputDict)
            intent, state_out = beneath(columns, state)
            with np.errstate(over="ignore", invalid="ignore"):
                scores: Floats = self.scores(inputs, intent, None, table)
            return scores, state_out

        return forward
