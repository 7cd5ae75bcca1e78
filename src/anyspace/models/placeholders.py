"""Stand-ins for TensorFlow's base classes where TensorFlow is not installed.

A file that defines TensorFlow models beside PyTorch ones can be imported without it. The error comes when a TensorFlow
model is built.
"""

from __future__ import annotations

from typing import NoReturn

from anyspace.distributions import ActionDistribution
from anyspace.errors import ModelError
from anyspace.models.modelv2 import ModelV2


class TFModelV2(ModelV2):
    """Base of TensorFlow models, in name only.

    Raises:
        ModelError: when a subclass is constructed, before its own ``__init__`` runs.
    """

    framework = "tf"

    def __new__(cls, *_: object, **__: object) -> NoReturn:
        """Refuse to be constructed."""
        raise ModelError(
            f"{cls.__name__} is a TensorFlow model, and TensorFlow is not installed: pip install 'anyspace[tf]'. Or"
            " derive it from TorchModelV2 (anyspace.models) and make its layers with torch.nn."
        )


class TFActionDistribution(ActionDistribution):
    """Base of TensorFlow distributions, in name only.

    Raises:
        ModelError: when it or a subclass is constructed.
    """

    def __new__(cls, *_: object, **__: object) -> NoReturn:
        """Refuse to be constructed."""
        raise ModelError(
            f"{cls.__name__} is a TensorFlow distribution, and TensorFlow is not installed: pip install 'anyspace[tf]'."
            " Or derive it from ActionDistribution or from a distribution of anyspace.distributions."
        )
