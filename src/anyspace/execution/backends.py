"""Which runtime and which learner a framework has: the only such table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from anyspace.errors import ConfigError
from anyspace.execution.groups import Group
from anyspace.execution.learner import Learner, LossFunction
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy

if TYPE_CHECKING:
    from anyspace.models.runtime import Runtime


@dataclass(frozen=True)
class Backend:
    """What a framework brings for training; its classes are imported when they are asked for."""

    package: str
    """What has to be installed."""
    runtime_class: str
    """As ``module:Name``."""
    learner_class: str
    """Likewise."""
    oldest: str | None = None
    """The oldest version, where it matters."""

    def runtime(self, config: PolicyConfig) -> Runtime:
        """Return a runtime on the configured device."""
        made: Runtime = resolve_name(self.runtime_class)(config.device)
        return made

    def learner(self, policy: Policy, losses: LossFunction, groups: Mapping[str, Group]) -> Learner:
        """Return a learner for a policy."""
        made: Learner = resolve_name(self.learner_class)(policy, losses, groups)
        return made


BACKENDS = {
    "torch": Backend(
        "torch", "anyspace.models.torch.runtime:TorchRuntime", "anyspace.execution.torch_learner:TorchLearner"
    ),
    # With JAX 0.6.0 weights that were read before a step show those after it.
    "jax": Backend(
        "jax", "anyspace.models.jax.runtime:JaxRuntime", "anyspace.execution.jax_learner:JaxLearner", oldest="0.6.1"
    ),
    "tf": Backend("tensorflow", "anyspace.models.tf.runtime:TFRuntime", "anyspace.execution.tf_learner:TFLearner"),
}
"""By the name of the framework."""


def backend_of(framework: str) -> Backend:
    """Return what a framework brings.

    Raises:
        ConfigError: it is not built, not installed, or too old.
    """
    if framework not in BACKENDS:
        raise ConfigError(f"config key `framework` is {framework!r}, but built are {', '.join(BACKENDS)}.")
    backend = BACKENDS[framework]
    package, oldest = backend.package, backend.oldest
    if find_spec(package) is None:
        raise ConfigError(
            f"config key `framework` is {framework!r}, but {package} is not installed: pip install"
            f" 'anyspace[{framework}]', or leave `framework` at 'torch'."
        )
    if oldest is not None and _numbers(found := version(package)) < _numbers(oldest):
        raise ConfigError(
            f"config key `framework` is {framework!r}, which needs {package} {oldest} or later, but {found} is"
            f" installed: pip install --upgrade {package}."
        )
    return backend


def _numbers(release: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", release)[:3]]
