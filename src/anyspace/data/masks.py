"""Masks that environments give in their infos: as one more leaf of the encoded observation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import SyncVectorEnv

from anyspace.data.batching import losing_wrapper
from anyspace.data.contract import blame
from anyspace.data.environments import EnvSpec
from anyspace.data.infos import Infos
from anyspace.data.overlooked import overlooked, require_found
from anyspace.data.trajectory import Bools
from anyspace.data.vector import Step, VectorSource
from anyspace.errors import ObservationError
from anyspace.policy.masking import Masking, MaskOrigin
from anyspace.policy.policy import Policy

_LOG = logging.getLogger("anyspace")

LATE = "the infos of reset() held none: give it there too, for the first action of an episode is chosen by it."
"""What is said of a mask that comes with a step, where none came with the first reset."""

_ONLY_INFOS = (
    "The environments have a method action_masks(), which nobody asks: a vector environment made elsewhere gives masks"
    " in its infos alone. Put them there as {key!r}, or give the class or function that makes one environment."
)

EVERY = "masks come with every observation or with none; give all ones where everything is allowed."
"""What is said where a mask is missing."""


def mask_origin(
    masking: Masking, source: VectorSource, infos: Infos, tell: Callable[[str], None] = _LOG.warning
) -> MaskOrigin:
    """Return where the masks of a source come from.

    Args:
        masking: of the policy that acts in the source.
        source: the environments.
        infos: of a reset.
        tell: is told, once for a policy, of what looks like a mask and is not read.

    Raises:
        ConfigError: somebody named the mask, and none was found by that name.
    """
    if masking.positions:
        return "observation"
    if masking.reads_infos and masking.key in infos:
        return "method" if source.asks_for_masks else "infos"
    sentence = overlooked(masking, source.observation_space, infos, losing_wrapper(source.envs, masking.key))
    if masking.reads_infos and _has_method(source):
        sentence = _ONLY_INFOS.format(key=masking.key)
    require_found(masking, sentence)
    if sentence is not None and sentence != masking.overlooked:
        tell(sentence)
    masking.overlooked = sentence
    return "none"


def tell_origin(policy: Policy, source: VectorSource | None, spec: EnvSpec | None, given: Collection[str]) -> None:
    """Let a policy know where its masks come from before it has trained.

    Whether infos hold masks only a reset can tell; it waits until the policy is asked to act. A vector environment that
    the user holds is not reset behind their back.

    Args:
        policy: that is to be trained.
        source: the environments that it is to be trained in, before their first reset; None: there are none yet.
        spec: what the user gave to make them from.
        given: the keys of the configuration that somebody gave.
    """
    masking = policy.masking
    if "model.mask_as_feature" in given and policy.config.model.mask_as_feature and not masking.positions:
        _LOG.warning(
            "config key `model.mask_as_feature` is True, but it has no effect: the observation holds no mask. Leave it"
            f" out, or put the mask into the observation by the name {masking.key!r}, as `action_mask_key` says."
        )
    if source is None or spec is None:
        return

    def by_reset() -> MaskOrigin:
        try:
            return mask_origin(masking, source, source.reset()[1])
        except Exception as error:
            blame(error, "step 0", source.num_envs)

    if masking.reads_infos and source.asks_for_masks:
        masking.origin = "method"
    elif not isinstance(spec.env, gym.vector.VectorEnv):
        masking.ask = by_reset


def _has_method(source: VectorSource) -> bool:
    """Return whether environments in this process have a method ``action_masks()``."""
    envs = source.envs.unwrapped
    return isinstance(envs, SyncVectorEnv) and any(env.has_wrapper_attr("action_masks") for env in envs.envs)


class InfoMasks:
    """Reads ``infos[key]`` of one source. Whether it gives masks is settled by its first reset.

    Attributes:
        origin: where the masks of the latest reset came from.

    Args:
        masking: of the policy that acts in the source.
        source: the environments.
        tell: is told of what looks like a mask and is not read.
    """

    def __init__(self, masking: Masking, source: VectorSource, tell: Callable[[str], None] = _LOG.warning):
        self._masking, self._source, self._tell = masking, source, tell
        self._num_envs = source.num_envs
        self._given = False
        self.origin: MaskOrigin = "none"

    def first(self, infos: Infos) -> list[Bools]:
        """Return the masks [B, A] after a reset, or nothing where there are none."""
        self.origin = mask_origin(self._masking, self._source, infos, self._tell)
        self._given = self.origin in ("infos", "method")
        if self._given:
            self._masking.require_consumer()
        return self._read(infos, np.ones(self._num_envs, np.bool_))

    def later(self, step: Step) -> list[Bools]:
        """Return the masks [B, A] of ``step.obs``, or nothing where there are none."""
        if not self._given and self._masking.key in step.infos and self._masking.reads_infos:
            raise ObservationError(f"infos[{self._masking.key!r}] holds a mask, but {LATE}")
        return self._read(step.infos, step.acting) if self._given else []

    def final(self, step: Step) -> list[Bools]:
        """Return the masks [n, A] of ``step.final_obs``; all ones where the source kept none."""
        if not self._given:
            return []
        infos = step.infos.get("final_info")
        wanted = np.zeros(self._num_envs, np.bool_)
        return [mask[step.ended] for mask in self._read(infos if isinstance(infos, dict) else {}, wanted)]

    def _read(self, infos: dict[str, Any], wanted: Bools) -> list[Bools]:
        """Return the masks, all ones where there is none; every ``wanted`` environment must give one."""
        if not self._given:
            return []
        key = self._masking.key
        given = np.asarray(infos.get(f"_{key}", key in infos), np.bool_)
        if given.shape not in ((), (self._num_envs,)):
            raise ObservationError(
                f"infos['_{key}']: expected booleans [{self._num_envs}], who gave a mask, got shape {given.shape}."
            )
        there: npt.NDArray[np.bool_] = np.broadcast_to(given, (self._num_envs,))
        missing = np.flatnonzero(wanted & ~there)
        if len(missing):
            raise ObservationError(f"environment {missing[0]}: its info holds no {key!r}, but {EVERY}")
        if not there.any():
            return [np.ones((self._num_envs, self._masking.width), np.bool_)]
        try:
            masks = self._masking.layout.flatten(infos[key], place=f"infos[{key!r}]", count=self._num_envs)
        except ValueError as error:
            raise ObservationError(str(error)) from error
        return [masks | ~there[:, None]]
