"""A written file beside the policy that it was made of: the same actions, the same memory.

The policy acts as it does in a rollout, in its own framework; onnxruntime runs the file.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import onnxruntime
from gymnasium.spaces import Box

from anyspace.data.environments import EnvSpec
from anyspace.data.sources import make_separate_source
from anyspace.data.stepping import Stepping, require_same_spaces
from anyspace.deploy.step import NEXT, PolicyStep
from anyspace.errors import ExportError
from anyspace.models.runtime import NumpyArray
from anyspace.policy.acting import Actor
from anyspace.policy.exporting import Compared
from anyspace.policy.history import Acted, History
from anyspace.policy.policy import Policy
from anyspace.spaces.uniform import float_components

TOLERANCE = 1e-4
"""How far a number may be from the policy's, as a share of 1, of the number or of half the width of its bounds."""

TIES = 2e-3
"""What share of choices may differ: of two options that are worth the same but for rounding, either is the best."""

LONGEST = 10_000
"""Steps of each environment after which episodes are no longer played on."""

_NOT_WRITTEN = (
    "Nothing was written. A model whose pass depends on anything but its inputs, such as random numbers or a counter of"
    " its own, cannot be exported."
)

_BEGINS = 0.1
"""How likely an episode begins with a random observation."""


@dataclass
class Comparison(Compared):
    """What was compared, and how far apart it was."""

    worst: float = 0.0
    """The largest difference as a share of what it may be."""
    worst_at: str = ""
    """Where that was."""
    worst_by: float = 0.0
    """The difference there; NaN where either is NaN."""

    def require_equal(self) -> None:
        """Raise :class:`ExportError` if the file does not act as the policy does."""
        if self.worst > 1:
            raise ExportError(
                f"the exported file differs from the policy: {self.worst_at} by up to {self.worst_by:.3g} in"
                f" {self.steps:,} steps. {_NOT_WRITTEN}"
            )
        if self.choices_that_differ > max(1, TIES * self.choices):
            raise ExportError(
                f"the exported file chooses otherwise than the policy in {self.choices_that_differ:,} of"
                f" {self.choices:,} choices of {self.steps:,} steps. {_NOT_WRITTEN}"
            )


class Beside(TypedDict):
    """What comes with observations, by the names of inputs; a file takes what it has an input for."""

    is_first: npt.NDArray[np.bool_]
    """[N], where an episode begins with them."""
    prev_reward: NumpyArray
    """[N] float32, what the step before earned."""
    noise: NumpyArray | None
    """What is sampled from, if anything is."""


class Player:
    """Runs a file, and compares each step with the policy's.

    Args:
        path: of the file.
        step: what it was made of; its names and its decoding are used, its policy is not.
        policy: the policy.
        seed: of the noise.
    """

    def __init__(self, path: Path, step: PolicyStep, policy: Policy, seed: int):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._step, self._policy = step, policy
        self._memory: dict[str, Any] = {port.name: port.zeros() for port in step.memory}
        self._rng = np.random.default_rng(seed)
        boxes = dict(float_components(policy.action_space))
        self._scales = {
            one.name: _half_widths(boxes[one.path])
            for one in step.outputs
            if one.role == "action" and one.path in boxes
        }
        self.found = Comparison()
        self._require_names()

    def _require_names(self) -> None:
        inputs = [one.name for one in self._session.get_inputs()]
        outputs = [one.name for one in self._session.get_outputs()]
        expected = [port.name for port in self._step.inputs], [port.name for port in self._step.outputs]
        if (inputs, outputs) != expected:
            raise ExportError(f"the written graph takes {inputs} and returns {outputs}, expected {expected}.")

    def noise(self) -> NumpyArray | None:
        """Draw the noise of one step, as the file's contract says; None where none is taken."""
        if not self._step.stochastic:
            return None
        (port,) = (one for one in self._step.inputs if one.role == "noise")
        return drawn(port.noise, self._step.rows, self._rng)

    def compare(self, acted: Acted, leaves: Sequence[NumpyArray], **beside: Unpack[Beside]) -> None:
        """Act on encoded observations, and their mask where one comes beside, and compare with what was acted.

        Args:
            acted: what the policy did.
            leaves: [N, ...].
            beside: what comes with them.
        """
        specs = self._policy.encode.specs
        given: dict[str, Any] = {**self._step.observation(leaves[: len(specs)]), **self._memory}
        there: dict[str, Any] = {**beside}
        if len(leaves) > len(specs):
            there["action_mask"] = np.asarray(leaves[-1], np.bool_)
        given.update((port.name, there[port.name]) for port in self._step.inputs if port.name in there)
        names = [port.name for port in self._step.outputs]
        outputs = dict(zip(names, self._session.run(names, given), strict=True))
        self._memory = {port.name: outputs[NEXT + port.name] for port in self._step.memory}
        for name, expected in self._step.actions(acted).items():
            self._take(name, outputs[name], expected)
        for port in self._step.memory:
            if port.source.startswith("state_out_"):
                latest = outputs[NEXT + port.name][:, -1] if port.steps > 1 else outputs[NEXT + port.name]
                self._take(port.name, latest, acted.state_out[int(port.source.removeprefix("state_out_"))])
        self.found.steps += self._step.rows

    def _take(self, name: str, got: NumpyArray, expected: NumpyArray) -> None:
        found = self.found
        if got.dtype.kind != "f":
            found.choices += got.size
            found.choices_that_differ += int((got != expected).sum())
            return
        if not got.size:
            return
        finest: Any = np.finfo(got.dtype)
        share = max(TOLERANCE, 4 * float(finest.eps))
        allowed = share * np.maximum(np.maximum(1.0, np.abs(expected)), self._scales.get(name, 1.0))
        with np.errstate(invalid="ignore"):  # a difference of infinities is NaN
            apart = np.abs(got.astype(np.float64) - expected.astype(np.float64))
            difference = np.where(got == expected, 0.0, apart)
            relative = difference / allowed
        place = np.unravel_index(np.argmax(relative), relative.shape)  # of the first NaN, if there is one
        worst = float(relative[place])
        found.largest_difference = max(found.largest_difference, float(difference.max()))
        if not worst <= found.worst:
            found.worst, found.worst_at = (np.inf if np.isnan(worst) else worst), name
            found.worst_by = float(difference[place])


def drawn(kinds: Sequence[tuple[str, int]], rows: int, rng: np.random.Generator) -> NumpyArray:
    """Return noise [N, W] of these kinds of columns, float32."""
    columns: list[npt.NDArray[np.float64]] = [getattr(rng, kind)(size=(rows, count)) for kind, count in kinds]
    return np.concatenate([np.zeros((rows, 0)), *columns], axis=1).astype(np.float32)


def on_random_observations(player: Player, policy: Policy, step: PolicyStep, count: int, seed: int) -> None:
    """Compare on ``count`` samples of the observation space, in episodes whose lengths are random."""
    rng, rows, views = np.random.default_rng(seed), step.rows, policy.views
    space = copy.deepcopy(policy.observation_space)
    space.seed(seed)
    history: History | None = None
    before: tuple[Sequence[NumpyArray], Acted] | None = None
    with policy.runtime.threads_for(rows), policy.acting() as act:
        for _ in range(-(-count // rows)):
            encoded = [policy.encode.single(space.sample()) for _ in range(rows)]
            leaves = _with_choices(policy, [np.stack(parts) for parts in zip(*encoded, strict=True)])
            leaves += [] if step.policy.masking.positions else _random_mask(step, rng)
            obs = policy.masking.observation(leaves)
            begun = rng.random(rows) < _BEGINS if before is not None else np.ones(rows, np.bool_)
            reward: NumpyArray = rng.standard_normal(rows).astype(np.float32)
            if before is None or history is None:
                history = History.before(views, obs)
            else:
                history = history.after(
                    views.columns(before[0], before[1].raw, reward, before[1].state_out), begun, obs
                )
            noise = player.noise()
            acted = act(leaves, history, explore=step.stochastic, noise=noise)
            player.compare(acted, leaves, is_first=begun, prev_reward=reward, noise=noise)
            before = obs, acted


def on_episodes(player: Player, policy: Policy, step: PolicyStep, spec: EnvSpec, episodes: int, seed: int) -> None:
    """Compare on the steps of whole episodes, of environments that the policy plays in.

    Raises:
        CheckpointError: the environment's spaces are not the policy's.
        ExportError: it is a vector environment that is there already, of another number of environments than rows.
    """
    source = make_separate_source(spec, step.rows)
    try:
        if source.num_envs != step.rows:
            raise ExportError(
                f"{spec.name} is a vector environment of {source.num_envs} environments, but the file takes {step.rows}"
                f" rows at a time: give rows={source.num_envs}, or an id, a class or a function as `env`."
            )
        require_same_spaces(policy, source.observation_space, source.action_space, spec.name)
        stepping = Stepping(source, policy)
        stepping.reset(seed)
        reward: NumpyArray = np.zeros(step.rows, np.float32)
        with policy.runtime.threads_for(step.rows), policy.acting() as act:
            for _ in range(LONGEST):
                reward = _compared(player, stepping, act, step, reward)
                if player.found.episodes >= episodes:
                    break
    finally:
        source.close()


def _compared(player: Player, stepping: Stepping, act: Actor, step: PolicyStep, reward: NumpyArray) -> NumpyArray:
    """Compare one step and take it; return the rewards."""
    noise = player.noise()
    leaves, begun = [leaf.copy() for leaf in stepping.leaves], stepping.begun.copy()
    acted = stepping.act(act, explore=step.stochastic, noise=noise)
    player.compare(acted, leaves, is_first=begun, prev_reward=reward, noise=noise)
    taken = stepping.step(acted).step
    player.found.played += step.rows
    player.found.episodes += int(((taken.terminated | taken.truncated) & ~taken.ignored).sum())
    return np.asarray(taken.rewards, np.float32)


def _with_choices(policy: Policy, leaves: list[Any]) -> list[Any]:
    """Return random observations whose masks allow at least one option of every choice."""
    masking = policy.masking
    mask = masking.find(leaves) if masking.positions else None
    if mask is not None and (stuck := masking.unusable(mask)).any():
        for position in masking.positions:
            leaves[position] = leaves[position].copy()
            leaves[position][stuck] = 1
    return leaves


def _random_mask(step: PolicyStep, rng: np.random.Generator) -> list[NumpyArray]:
    """Return a random mask where one comes beside the observation."""
    for port in step.inputs:
        if port.role == "action_mask":
            mask = rng.random(port.shape) < 0.6
            mask[step.policy.masking.unusable(mask)] = True
            return [mask]
    return []


def _half_widths(box: Box) -> NumpyArray:
    """Return half the width between the bounds of each component, at least 1; 1 where they are not both finite."""
    bounded = box.bounded_below & box.bounded_above
    low, high = (np.where(bounded, bound, 0).astype(np.float64) for bound in (box.low, box.high))
    return np.maximum(1.0, high / 2 - low / 2)
