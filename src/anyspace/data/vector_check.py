"""A vector environment against its own spaces, and against what it says of how it resets its environments."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from anyspace.data.batching import environment
from anyspace.data.endless import advice
from anyspace.data.env_findings import REPLAYED, EnvCheck, Moment, agree, called, masking_of
from anyspace.data.environments import EnvSpec
from anyspace.data.last_observations import ENOUGH, FIRST_AS_LAST, first_as_last
from anyspace.data.masks import InfoMasks
from anyspace.data.sources import make_source
from anyspace.data.trajectory import Bools
from anyspace.data.vector import Step, VectorSource
from anyspace.errors import AnyspaceError
from anyspace.models.runtime import NumpyArray
from anyspace.spaces import Decoder, Encoder
from anyspace.spaces.kinds.registered import equivalent, known_actions
from anyspace.spaces.prepared import prepared
from anyspace.spaces.uniform import UniformActions, raw_space

_NOT_IGNORED = (
    "after an episode's end, a step ended another one or was worth something. metadata['autoreset_mode'] is NEXT_STEP:"
    " that step ignores its action and returns the next episode's first observation, a reward of 0 and no end. An"
    " environment that resets in the step that ends an episode is SAME_STEP, and puts the last observation into"
    " infos['final_obs']."
)


def check_vector(found: EnvCheck, spec: EnvSpec, envs: VectorEnv[Any, Any, Any], seed: int, steps: int) -> None:
    """Take random steps in a vector environment, and note what is wrong. It is not closed."""
    try:
        probe = _Probe(make_source(spec, envs.num_envs), spec)
    except AnyspaceError as error:
        found.add("error", str(error), "the vector environment")
        return
    moments = probe.play(found, seed, steps)
    if not found.errors:
        again = EnvCheck(spec.name)
        came, learning = probe.play(again, seed, min(steps, REPLAYED)), probe.source.running_statistics
        agree(found, moments, came, seed, "on the same instance", learning)
        found.take(again, "in the repetition")
        if not found.episodes and not probe.source.is_limited:
            found.add("warning", f"no episode has ended. If that is not by chance, {advice(spec)}.", f"{steps:,} steps")
        found.add_time_limit()
    found.sort()


class _Probe:
    """A vector environment, which is stepped with random actions."""

    def __init__(self, source: VectorSource, spec: EnvSpec):
        self.source = source
        observations = prepared(source.observation_space, max_len=spec.max_len, ignore=spec.ignore)
        actions = known_actions(source.action_space)
        self._encode, self._decode = Encoder(observations), Decoder(actions)
        self._random = UniformActions(raw_space(equivalent(actions), normalize=True))
        self._masking = masking_of(observations, equivalent(actions), self._encode, spec.action_mask_key)
        self._told: list[str] = []
        self._in_infos = InfoMasks(self._masking, source, self._told.append)

    def play(self, found: EnvCheck, seed: int, steps: int) -> list[Moment]:
        """Take steps, note what is wrong, and return what the first `REPLAYED` of them led to."""
        rng, source, moments = np.random.default_rng(seed), self.source, list[Moment]()
        lengths, totals = np.zeros(source.num_envs, np.int64), np.zeros(source.num_envs)
        seconds: list[float] = []
        as_first: list[bool] = []
        started = time.perf_counter()
        obs, infos = called(found, partial(source.reset, seed), "reset()") or (None, {})
        found.reset_seconds = time.perf_counter() - started
        leaves = self._leaves(found, obs, source.num_envs, "reset()")
        given = called(found, partial(self._in_infos.first, infos), "reset()")
        while self._told:
            found.add("warning", self._told.pop(), "reset()")
        mask = self._mask(found, leaves, given, np.ones(source.num_envs, np.bool_), "reset()")
        while leaves is not None and found.steps < steps:
            actions = called(found, partial(self._actions, rng, mask), f"step {found.steps}")
            if actions is None:
                break
            found.steps += source.num_envs
            found.masks += 0 if mask is None else source.num_envs
            where, started = f"step {found.steps}", time.perf_counter()
            step = called(found, partial(source.step, actions), where)
            seconds.append(time.perf_counter() - started)
            if step is None:
                break
            seen, leaves = leaves, self._leaves(found, step.obs, source.num_envs, where)
            given = called(found, partial(self._in_infos.later, step), where)
            mask = self._mask(found, leaves, given, step.acting, where)
            as_first += self._ends(found, step, seen, leaves, where)
            for row in np.flatnonzero(~np.isfinite(step.rewards))[:1]:
                what = f"{environment(row)}: the reward is {step.rewards[row]}; a reward is a finite number."
                found.add("error", what, where, of="a reward that is not finite")
            lengths, totals = lengths + ~step.ignored, totals + step.rewards
            for row in np.flatnonzero(step.terminated | step.truncated):
                found.episodes.append(int(lengths[row]))
                found.returns.append(float(totals[row]))
                found.terminated += bool(step.terminated[row])
                lengths[row], totals[row] = 0, 0.0
            if leaves is not None and found.steps <= REPLAYED:
                done = step.terminated | step.truncated
                moments.append(Moment(where, (*leaves, step.rewards.copy(), done), 0.0, bool(done.any())))
        if len(as_first) >= ENOUGH and all(as_first):
            found.add("warning", FIRST_AS_LAST, f"{found.steps:,} steps")
        found.step_seconds = statistics.median(seconds) if seconds else 0.0
        return moments

    def _leaves(self, found: EnvCheck, obs: Any, count: int, where: str) -> Sequence[NumpyArray] | None:
        """Return ``count`` encoded observations, None where they do not fit, after noting what is wrong with them."""
        if obs is None:
            return None
        leaves = called(found, lambda: [*map(np.array, self._encode.rows(obs, count, environment))], where)
        if leaves is not None:
            found.add_faults(self._encode, leaves, where)
        return leaves

    def _ends(
        self,
        found: EnvCheck,
        step: Step,
        seen: Sequence[NumpyArray],
        leaves: Sequence[NumpyArray] | None,
        where: str,
    ) -> list[bool]:
        """Note what is wrong with the ends of episodes; return which last observations are the next one's first."""
        if self.source.mode is AutoresetMode.NEXT_STEP:
            if (step.ignored & (step.terminated | step.truncated | (step.rewards != 0))).any():
                found.add("warning", _NOT_IGNORED, where)
        elif len(step.ended) and leaves is not None:
            final = self._leaves(found, step.final_obs, len(step.ended), f"{where}, last observations")
            if final is not None and self.source.last_observations.watches:
                return first_as_last(final, seen, leaves, step.ended)
        return []

    def _actions(self, rng: np.random.Generator, mask: Bools | None) -> Any:
        """Return random actions, among those that masks [N, A] allow."""
        noise = rng.gumbel(size=(self.source.num_envs, self._random.width)).astype(np.float32)
        return self._decode(self._random(noise, None if mask is None else self._masking.split(mask)))

    def _mask(
        self,
        found: EnvCheck,
        leaves: Sequence[NumpyArray] | None,
        given: list[Bools] | None,
        acting: Bools,
        where: str,
    ) -> Bools | None:
        """Return the masks [N, A] to act by, of encoded observations or ``given`` by infos, after noting empty ones."""
        mask = None if leaves is None else self._masking.find([*leaves, *(given or [])])
        if mask is None:
            return None
        for row in np.flatnonzero(acting & self._masking.unusable(mask))[:1]:
            empty = self._masking.layout.describe_empty(mask[row])
            what = f"{environment(row)}: the mask allows no action: {empty}."
            found.add("error", what, where, of="a mask that allows nothing")
        return np.asarray(mask, np.bool_)
