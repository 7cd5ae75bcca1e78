"""Stand-ins for the base classes of TensorFlow and JAX where these are not installed.

A file that defines models of several frameworks can be imported without all of these. The error comes when a model is
built whose framework is missing.
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


class JaxModelV2(ModelV2):
    """Base of JAX models, in name only.

    Raises:
        ModelError: when a subclass is constructed, before its own ``__init__`` runs.
    """

    framework = "jax"

    def __new__(cls, *_: object, **__: object) -> NoReturn:
        """Refuse to be constructed."""
        raise ModelError(
            f"{cls.__name__} is a JAX model, and JAX is not installed: pip install 'anyspace[jax]'. Or derive it from"
            " TorchModelV2 (anyspace.models) and make its layers with torch.nn."
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
