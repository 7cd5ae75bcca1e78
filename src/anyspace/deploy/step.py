"""One step of a policy as arrays in and arrays out: what becomes a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from anyspace import nesting
from anyspace.deploy.ports import (
    Port,
    action_ports,
    beside_ports,
    memory_ports,
    noise_port,
    observation_ports,
)
from anyspace.maths.xp import Array, xp
from anyspace.policy.history import Acted, Columns, History
from anyspace.policy.pipeline import Pipeline
from anyspace.spaces import Decoder

NEXT = "next_"
"""How the name of what is to be handed back begins: ``next_memory/state_0`` becomes ``memory/state_0``."""


class PolicyStep:
    """From an observation and what is remembered to an action and what is to be remembered.

    It acts as rollouts do, with the policy's own :meth:`Pipeline.acting`. Memory is the windows of a `History`; where
    an episode begins, ``is_first`` fills them as at an episode's start, whatever came in.

    Args:
        policy: acts.
        rows: N, how many observations are acted on side by side, at least 1.
        stochastic: sample, from noise that comes in, in place of the deterministic action.

    Attributes:
        inputs: what goes in.
        outputs: what comes out.

    Raises:
        ExportError: samples are asked for that cannot be made of noise.
    """

    def __init__(self, policy: Pipeline, rows: int, *, stochastic: bool):
        self.policy, self.rows, self.stochastic = policy, rows, stochastic
        self._observation = observation_ports(policy, rows)
        self.memory = memory_ports(policy, rows)
        noise = [noise_port(policy, rows)] if stochastic else []
        self.inputs = [*self._observation, *beside_ports(policy, rows), *self.memory, *noise]
        self._actions = action_ports(policy, rows)
        handed_back = [Port(NEXT + one.name, "memory", one.shape, one.dtype) for one in self.memory]
        self.outputs = [*self._actions, *handed_back]
        config = policy.config
        self._decode = Decoder(policy.action_space, normalize=config.normalize_actions, clip=config.clip_actions)

    def __call__(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """Return what comes out, by name, for what goes in, by name: arrays of the policy's framework."""
        policy = self.policy
        obs = self._encoded([given[port.name] for port in self._observation])
        masks = [given["action_mask"]] if "action_mask" in given else []
        history = self._history(given, obs) if policy.views.depth else None
        with policy.acting() as act:
            acted = act([*obs, *masks], history, explore=self.stochastic, noise=given.get("noise"))
        found = self.actions(acted)
        if history is None:
            return found
        after = self._after(history, acted, obs)
        return {**found, **{NEXT + port.name: _outwards(port, after[port.source][port.leaf]) for port in self.memory}}

    def actions(self, acted: Acted) -> dict[str, Array]:
        """Return the leaves of the environment's action by name, for raw actions of any framework."""
        decoded = nesting.values(self.policy.action_space, self._decode(acted.raw))
        return {port.name: _cast(port.dtype, leaf) for port, leaf in zip(self._actions, decoded, strict=True)}

    def observation(self, leaves: Sequence[Any]) -> dict[str, Any]:
        """Return what goes in for encoded observations of NumPy: indices as the environment counts them."""
        given = self.policy.encode.with_starts([np.asarray(leaf) for leaf in leaves])
        return {port.name: leaf.astype(port.dtype) for port, leaf in zip(self._observation, given, strict=True)}

    def _encoded(self, arrays: Sequence[Array]) -> list[Array]:
        """Return encoded leaves: indices from 0, numbers inside their bounds where the policy clips them."""
        encoder, leaves = self.policy.encode, []
        for spec, array in zip(encoder.specs, arrays, strict=True):
            ns = xp(array)
            if any(spec.start):
                array = array - ns.asarray(spec.first, like=array)
            clips = self.policy.config.out_of_bounds == "clip" and spec.kind == "real"
            if clips and spec.tolerance is None and spec.warp is None:
                box: Any = spec.space
                array = ns.clip(array, ns.cast(box.low, like=array), ns.cast(box.high, like=array))
            leaves.append(_cast(spec.dtype.name, array))
        presence = encoder.presence(leaves)
        for number, (spec, there) in enumerate(zip(encoder.specs, presence, strict=True)):
            if there is not None and any(spec.start):  # what is not there is 0 however it is counted
                ns, leaf = xp(there), leaves[number]
                mask = ns.reshape(there, (*there.shape, *(1 for _ in spec.element_shape)))
                leaves[number] = ns.where(mask, leaf, ns.cast(np.zeros((), np.int64), like=leaf))
        return leaves

    def _history(self, given: Mapping[str, Array], obs: list[Array]) -> History:
        """Return the steps before the present one."""
        views = self.policy.views
        windows = {source: [*leaves] for source, leaves in History.before(views, obs).windows.items()}
        for port in self.memory:
            like = windows[port.source][port.leaf]
            windows[port.source][port.leaf] = xp(like).cast(_inwards(port, given[port.name]), like=like)
        if "prev_reward" in given:
            latest = given["prev_reward"][None]
            earlier = windows["rewards"] if any(port.source == "rewards" for port in self.memory) else []
            windows["rewards"] = [xp(latest).concatenate([*earlier, latest])]
        if "is_first" in given:
            fresh = views.before_episodes(obs)
            windows = {
                source: [
                    xp(window).put_columns(window, given["is_first"], first) if window.shape[0] else window
                    for window, first in zip(leaves, fresh[source], strict=True)
                ]
                for source, leaves in windows.items()
            }
        return History(views, windows)

    def _after(self, history: History, acted: Acted, obs: list[Array]) -> Columns:
        """Return the windows after the step, of rewards all but the one that is not there yet."""
        ns = xp(obs[0])
        unknown = ns.astype(ns.full((self.rows,), 0.0, like=ns.astype(obs[0], "float32")), "float32")
        step = history.views.columns(obs, acted.raw, unknown, acted.state_out)
        windows = {**history.after(step, np.zeros(1, np.bool_), obs).windows}
        if "rewards" in windows:
            windows["rewards"] = [window[:-1] for window in windows["rewards"]]
        return windows


def _inwards(port: Port, array: Array) -> Array:
    """Return [N, ...] or [N, L, ...] as a window [L, N, ...]."""
    return xp(array).swapaxes(array, 0, 1) if port.steps > 1 else array[None]


def _outwards(port: Port, window: Array) -> Array:
    """Return a window [L, N, ...] as [N, ...] or [N, L, ...]."""
    return _cast(port.dtype, xp(window).swapaxes(window, 0, 1) if port.steps > 1 else window[0])


def _cast(dtype: str, array: Array) -> Array:
    return xp(array).astype(array, dtype)
