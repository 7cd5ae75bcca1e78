"""Stand-ins for the base classes of TensorFlow and JAX where these are not installed.

A file that defines models of several frameworks can be imported without all of these. The error comes when a model is
built whose framework is missing.
"""

from __future__ import annotations

from typing import ClassVar, NoReturn

from anyspace.distributions import ActionDistribution
from anyspace.errors import ModelError
from anyspace.models.modelv2 import ModelV2


class _Missing(ModelV2):
    """Base of the models of a framework that is not installed.

    Attributes:
        library: its name.
    """

    library: ClassVar[str]

    def __new__(cls, *_: object, **__: object) -> NoReturn:
        """Refuse to be constructed."""
        raise ModelError(
            f"{cls.__name__} is a {cls.library} model, and {cls.library} is not installed: pip install"
            f" 'anyspace[{cls.framework}]'. Or derive it from TorchModelV2 (anyspace.models) and make its layers with"
            " torch.nn."
        )


class TFModelV2(_Missing):
    """Base of TensorFlow models, in name only.

    Raises:
        ModelError: when a subclass is constructed, before its own ``__init__`` runs.
    """

    framework, library = "tf", "TensorFlow"


class JaxModelV2(_Missing):
    """Base of JAX models, in name only.

    Raises:
        ModelError: when a subclass is constructed, before its own ``__init__`` runs.
    """

    framework, library = "jax", "JAX"


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
