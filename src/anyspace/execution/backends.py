"""Which runtime and which learner a framework has: the only such table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from anyspace.errors import ConfigError
from anyspace.execution.learner import Group, Learner, LossFunction
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy

if TYPE_CHECKING:
    from anyspace.models.runtime import Runtime


class Backend(Protocol):
    """What a framework brings for training; each is imported when it is asked for."""

    def runtime(self, config: PolicyConfig) -> Runtime:
        """Return a runtime on the configured device."""

    def learner(self, policy: Policy, losses: LossFunction, groups: Mapping[str, Group]) -> Learner:
        """Return a learner for a policy."""


class TorchBackend:
    """PyTorch."""

    def runtime(self, config: PolicyConfig) -> Runtime:
        """Return a runtime on the configured device."""
        from anyspace.models.torch.runtime import TorchRuntime

        return TorchRuntime(config.device)

    def learner(self, policy: Policy, losses: LossFunction, groups: Mapping[str, Group]) -> Learner:
        """Return a learner for a policy."""
        from anyspace.execution.torch_learner import TorchLearner

        return TorchLearner(policy, losses, groups)


class JaxBackend:
    """JAX."""

    def runtime(self, config: PolicyConfig) -> Runtime:
        """Return a runtime on the configured device."""
        from anyspace.models.jax.runtime import JaxRuntime

        return JaxRuntime(config.device)

    def learner(self, policy: Policy, losses: LossFunction, groups: Mapping[str, Group]) -> Learner:
        """Return a learner for a policy."""
        from anyspace.execution.jax_learner import JaxLearner

        return JaxLearner(policy, losses, groups)


class TFBackend:
    """TensorFlow."""

    def runtime(self, config: PolicyConfig) -> Runtime:
        """Return a runtime on the configured device."""
        from anyspace.models.tf.runtime import TFRuntime

        return TFRuntime(config.device)

    def learner(self, policy: Policy, losses: LossFunction, groups: Mapping[str, Group]) -> Learner:
        """Return a learner for a policy."""
        from anyspace.execution.tf_learner import TFLearner

        return TFLearner(policy, losses, groups)


BACKENDS: dict[str, Backend] = {"torch": TorchBackend(), "jax": JaxBackend(), "tf": TFBackend()}
"""By the name of the framework."""

PACKAGES = {"torch": "torch", "jax": "jax", "tf": "tensorflow"}
"""What has to be installed for each."""

_OLDEST = {"jax": "0.6.1"}
"""The oldest version, where it matters: with JAX 0.6.0 weights that were read before a step show those after it."""


def backend_of(framework: str) -> Backend:
    """Return what a framework brings.

    Raises:
        ConfigError: it is not built, not installed, or too old.
    """
    if framework not in BACKENDS:
        raise ConfigError(f"config key `framework` is {framework!r}, but built are {', '.join(BACKENDS)}.")
    package = PACKAGES[framework]
    if find_spec(package) is None:
        raise ConfigError(
            f"config key `framework` is {framework!r}, but {package} is not installed: pip install"
            f" 'anyspace[{framework}]', or leave `framework` at 'torch'."
        )
    oldest = _OLDEST.get(package)
    if oldest is not None and _numbers(found := version(package)) < _numbers(oldest):
        raise ConfigError(
            f"config key `framework` is {framework!r}, which needs {package} {oldest} or later, but {found} is"
            f" installed: pip install --upgrade {package}."
        )
    return BACKENDS[framework]


def _numbers(release: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", release)[:3]]
