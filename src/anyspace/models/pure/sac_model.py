"""The model of soft actor-critic over arrays."""

from __future__ import annotations

from collections.abc import Mapping

from anyspace.maths.xp import Array
from anyspace.models.pure.base import ArrayModel
from anyspace.models.pure.drawing import Drawing
from anyspace.models.runtime import ACTING, NumpyForward
from anyspace.models.sac_networks import SACNetworks


class SACModel(SACNetworks, ArrayModel):
    """Policy, Q networks and temperatures; see :class:`SACNetworks`."""

    def _add_temperatures(self, start: float) -> None:
        draw = Drawing(self.framework, self.model_config)
        for kind in self.joint.kinds:
            draw.value(f"log_alphas.{kind}", start)
        self.adopt(draw.weights)

    @property
    def log_alphas(self) -> Mapping[str, Array]:
        """Logarithms of the temperatures, learnt, scalars by kind: "discrete", "continuous", or both."""
        return {kind: self.weights[f"log_alphas.{kind}"] for kind in self.joint.kinds}

    def acting_pass(self) -> NumpyForward | None:
        """Return what acts one step: the policy's."""
        assert isinstance(self.action_model, ArrayModel)
        return self.action_model.acting_pass()

    def _acts(self) -> bool:
        return ACTING.get()
