"""From the arguments of an algorithm to its settings, its environment and the source of its steps."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from anyspace import config as configs
from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.contract import config_class_of, require_methods, require_steps
from anyspace.algorithms.layers import given_keys, overridden
from anyspace.algorithms.presets import PLAIN, Preset, general_preset, named_preset, preset_names
from anyspace.algorithms.saving.savable import require_values
from anyspace.algorithms.scaling import require_workers, worker_fleet
from anyspace.data.atari import AtariOptions
from anyspace.data.collector import Collector
from anyspace.data.endless import EndlessWatch
from anyspace.data.environments import EnvLike, EnvSpec
from anyspace.data.exact import require_exact_source
from anyspace.data.offline.trajectories import TrajectoryWriter
from anyspace.data.rewards import ReturnMoments, RewardTransform
from anyspace.data.running_statistics import statistics_warning
from anyspace.data.sources import make_source
from anyspace.data.stepping import require_same_spaces
from anyspace.data.supersuit import adapted
from anyspace.data.vector import VectorSource
from anyspace.errors import ConfigError
from anyspace.execution.file_fleet import WritingFleet
from anyspace.execution.fleet import Fleet, LocalFleet
from anyspace.folders import going_back
from anyspace.importing import is_ours
from anyspace.models.config import ModelConfig
from anyspace.policy.policy import Policy
from anyspace.spaces.serialize import Spaces


def environment_spec(env: EnvLike, settings: AlgorithmConfig) -> EnvSpec:
    """Return an environment with all that the settings say of it."""
    model = settings.model
    return EnvSpec(
        env,
        settings.env_config,
        tuple(settings.wrappers),
        AtariOptions(settings.preprocessor_pref, model.framestack, model.dim, model.grayscale, model.zero_mean),
        settings.action_mask_key,
        settings.max_len,
        settings.ignore,
    )


def training_source(spec: EnvSpec, settings: AlgorithmConfig) -> VectorSource:
    """Return the environments to train on; say which statistics in wrappers a run would lose.

    Where workers have environments of their own, one is enough here, to know what it is like.
    """
    count = 1 if settings.num_env_runners else settings.num_envs_per_env_runner
    source = make_source(spec, count, settings.vectorization, settings.env_timeout_s)
    if settings.exact_resume:
        try:
            require_exact_source(source)
        except ConfigError:
            source.close()
            raise
    sentence = statistics_warning(source.running_statistics)
    if sentence is not None:
        logging.getLogger("anyspace").warning(sentence)
    return source


def preset_for(
    lineage: Sequence[type],
    spec: EnvSpec | None,
    preset: str = "auto",
    model: ModelConfig | None = None,
    recorded: Spaces | None = None,
) -> Preset:
    """Return the shipped settings of an algorithm for an environment: its own, or the general ones for its spaces.

    An id's own ones are for the spaces of the id: wrappers and ``env_config`` may give an environment others.

    The preset ``none`` changes nothing; ``auto`` is that for an algorithm without any.

    Args:
        lineage: the algorithm's class and the classes that it derives from, nearest first.
        spec: the environment, if there is one.
        preset: the name of one, ``"auto"`` or ``"none"``.
        model: says which memory the policy has; None: it has none.
        recorded: the spaces of recorded steps, where there is no environment.
    """
    algorithm = preset_name(lineage)
    if preset == "none" or (preset == "auto" and not preset_names(algorithm)):
        return PLAIN
    if preset != "auto":
        return named_preset(algorithm, preset, model)
    if spec is not None and spec.name in preset_names(algorithm) and _has_spaces_of_its_id(spec):
        return named_preset(algorithm, spec.name, model)
    spaces = recorded if spec is None else _spaces_of(spec)
    return PLAIN if spaces is None else general_preset(algorithm, *spaces, model)


def _has_spaces_of_its_id(spec: EnvSpec) -> bool:
    """Return whether wrappers and settings have left an environment the spaces of its id; mostly there are none."""
    if not spec.wrappers and not spec.env_config and spec.describe() == spec.name:
        return True
    return _spaces_of(spec) == _spaces_of(replace(spec, env=spec.name, env_config={}, wrappers=()))


def _spaces_of(spec: EnvSpec) -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Return the observation space and the action space of an environment; unless they are at hand, make one."""
    if isinstance(spec.env, VectorEnv):
        envs = adapted(spec.env)
        return envs.single_observation_space, envs.single_action_space
    with going_back():  # whatever folder it changes to, nobody is to find themselves there for this
        source = make_source(spec, 1)
        try:
            return source.observation_space, source.action_space
        finally:
            source.close()


def require_fitting(spec: EnvSpec, policy: Policy) -> None:
    """Refuse an environment that a policy which was loaded cannot act in; one is made to see that, and closed.

    Raises:
        CheckpointError: it has other spaces.
        EnvironmentSetupError: it cannot be made, or is none.
    """
    require_same_spaces(policy, *_spaces_of(spec), spec.name)


def preset_name(lineage: Sequence[type]) -> str:
    """Return the name under which presets are shipped for an algorithm.

    A subclass has the presets of the algorithm that it changes; a user's class that only has the name of one has none.

    Args:
        lineage: the algorithm's class and the classes that it derives from, nearest first.
    """
    shipped = [kind.__name__.lower() for kind in lineage if is_ours(kind)]
    own = lineage[0]
    return next((name for name in shipped if preset_names(name)), f"{own.__module__}.{own.__name__}")


@dataclass(frozen=True)
class Chosen:
    """What the arguments of an algorithm's constructor stand for."""

    spec: EnvSpec | None
    """The environment; None: there is none, and recorded steps are learnt from."""
    settings: AlgorithmConfig
    """Validated."""
    given: frozenset[str]
    """The keys that came with the arguments, nested ones as ``model.use_lstm``; a preset's are not among them."""
    preset: str
    """The name of the preset that the settings start from; ``none``: the plain defaults, or a whole configuration."""
    recorded_spaces: Spaces | None = None
    """Of the recorded steps, where there is no environment."""

    def opened(self) -> tuple[VectorSource | None, Spaces]:
        """Return the environments to train on, if there are any, and the spaces."""
        if self.spec is None:
            assert self.recorded_spaces is not None
            return None, self.recorded_spaces
        source = training_source(self.spec, self.settings)
        return source, (source.observation_space, source.action_space)


def chosen(
    kind: type[Any],
    env: EnvLike | None,
    config: Mapping[str, Any] | AlgorithmConfig | None,
    preset: str | Preset | None,
    overrides: Mapping[str, Any],
) -> Chosen:
    """Return the environment and the validated settings that the arguments of an algorithm's constructor stand for.

    Args:
        kind: the class of algorithms.
        env: the environment; it may also stand in ``config``.
        config: keys to override, or a whole configuration, which takes no preset.
        preset: what to start from; None takes the class's own choice, and says so.
        overrides: single keys, laid over ``config``.

    Raises:
        ConfigError: there is no environment, and recorded steps do not say of which spaces they are; a key is unknown
            or out of range, a preset is laid over a whole configuration, or the class of algorithms is not as it must
            be.
    """
    config_class = config_class_of(kind)
    require_methods(kind)
    whole = isinstance(config, AlgorithmConfig)
    base = configs.checked(config) if isinstance(config, AlgorithmConfig) else config_class()
    own = _own_keys(kind, config)
    env = _one_of(env, own.pop("env", None))
    _require_same_keys(base, kind, config_class)
    of_run = preset if isinstance(preset, Preset) and preset.is_of_run else PLAIN
    settings = overridden(base, of_run.settings, own, overrides)
    require_values(settings)  # before an environment is made of any of them
    recorded = settings.recorded_spaces() if env is None else None
    if env is None and recorded is None:
        raise ConfigError(f"{kind.__name__} needs an environment: {kind.__name__}(env='CartPole-v1').")
    given = fixed = given_keys(base, own, overrides)
    found = PLAIN
    if whole:
        given = fixed = given | configs.changes(base, type(base)()).keys()
        if preset not in (None, "none"):
            raise ConfigError(
                f"preset={preset!r} takes the place of the defaults, but `config` is a whole configuration; leave"
                " one of them out, or give `config` as a dict of the keys to override."
            )
    else:
        spec = None if env is None else environment_spec(env, settings)
        found = _preset(kind, spec, preset, settings.model, recorded)
        beneath = found.settings if found.is_of_run else settings.beneath(found.settings)
        if found.is_of_run:
            fixed = given | chosen_in_run(overridden(base, found.settings)).keys()
        settings = _with_fewer_environments(overridden(base, beneath, own, overrides), fixed)
    if isinstance(env, VectorEnv) and "num_envs_per_env_runner" not in given:
        settings = overridden(settings, {"num_envs_per_env_runner": env.num_envs})
    settings = settings.fitted(fixed)
    settings.validate()
    settings.require_effect(given)
    require_values(settings)  # those of a preset as well
    require_steps(settings)
    spec = None if env is None else environment_spec(env, settings)
    require_workers(spec, settings)
    return Chosen(spec, settings, given, found.name, recorded)


def _own_keys(kind: type[Any], config: Mapping[str, Any] | AlgorithmConfig | None) -> dict[str, Any]:
    """Return the keys of a dict; a whole configuration overrides none."""
    if config is None or isinstance(config, AlgorithmConfig):
        return {}
    if not isinstance(config, Mapping):
        raise ConfigError(
            f"{kind.__name__}(env, config): `config` is a dict, but {config!r} came. First comes the environment,"
            f" and the network follows from its spaces: {kind.__name__}('CartPole-v1')."
        )
    return dict(config)


def _one_of(env: EnvLike | None, named: EnvLike | None) -> EnvLike | None:
    """Return the environment, which is given as one or is named in the configuration."""
    if env is not None and named is not None and env is not named and env != named:
        raise ConfigError(f"the environment is {env!r}, but `env` in the config is {named!r}; give one of them.")
    return named if env is None else env


def _require_same_keys(config: AlgorithmConfig, kind: type[Any], config_class: type[AlgorithmConfig]) -> None:
    """Raise :class:`ConfigError` unless a whole configuration has the keys of an algorithm's, and no others."""
    own, name = type(config).__name__, kind.__name__
    if not isinstance(config, config_class):
        raise ConfigError(f"{name} takes {config_class.__name__}, or a dict of the keys to override, but {own} came.")
    more = {*configs.paths(config)} - {*configs.paths(config_class())}
    if more:
        raise ConfigError(
            f"the configuration is a {own}, which has keys that {name} does not have, such as `{min(more)}`: derive an"
            f" algorithm that has them, class Mine({name}): config_class = {own}."
        )


SHORTEST_ROLLOUT = 32
"""Steps of each environment in a round: a preset's environments become fewer where a batch is too small for them."""


def _with_fewer_environments(settings: AlgorithmConfig, given: frozenset[str]) -> AlgorithmConfig:
    """Return settings of a preset under a batch size that somebody gave: so many environments that it takes some steps.

    Else 20 steps in eight environments would be two of each, and no episode would ever be seen to end.
    """
    # Where an iteration has many rounds, a round is no batch, and short on purpose.
    is_batch = settings.steps_per_iteration == 0
    if "train_batch_size" not in given or "num_envs_per_env_runner" in given or not is_batch:
        return settings
    most = max(1, settings.steps_per_round // (SHORTEST_ROLLOUT * max(1, settings.num_env_runners)))
    return overridden(settings, {"num_envs_per_env_runner": min(settings.num_envs_per_env_runner, most)})


def chosen_in_run(settings: AlgorithmConfig) -> dict[str, Any]:
    """Return the keys of a run's settings that are as nothing here would have fitted them, with their values.

    Files do not say which keys somebody gave; these are the ones that somebody will have chosen.
    """
    alone = overridden(settings, {"num_env_runners": 0})  # workers make fewer of the steps each, and nobody chose that
    fewer = _with_fewer_environments(alone, frozenset({"train_batch_size"}))
    return settings.chosen() | configs.changes(alone, fewer)


def _preset(
    kind: type[Any], spec: EnvSpec | None, preset: str | Preset | None, model: ModelConfig, recorded: Spaces | None
) -> Preset:
    """Return the preset that is asked for; one that is taken unasked is named in the log."""
    if isinstance(preset, Preset):
        return preset
    found = preset_for(kind.__mro__, spec, kind.default_preset if preset is None else preset, model, recorded)
    if preset is None and found.settings:
        place = "recorded steps" if spec is None else spec.name
        logging.getLogger("anyspace").warning(
            f"{kind.__name__} on {place} starts from the preset {found.name!r}; preset='none' keeps the plain defaults,"
            " and keys that you give take precedence over both."
        )
    return found


def new_fleet(
    spec: EnvSpec,
    source: VectorSource | None,
    policy: Policy,
    config: AlgorithmConfig,
    rewards: RewardTransform,
    seed: int,
    policy_seed: int,
    steps_before: int,
) -> Fleet:
    """Return what collects: this process, or workers.

    Args:
        spec: the environment.
        source: the environments that were made of it; None: they are made now.
        policy: that acts.
        config: the settings.
        rewards: how rewards are clipped, and whether they are scaled; it is told whether they are Atari's.
        seed: of the environments' first reset.
        policy_seed: of the policy's random sources.
        steps_before: vector steps of this run so far, for messages.

    Raises:
        CheckpointError: the environments are new ones, and of other spaces than the policy.
    """
    own = source is None
    if source is None:
        source = training_source(spec, config)
        require_same_spaces(policy, source.observation_space, source.action_space, spec.name)
    rewards.is_atari = source.is_atari
    if config.num_env_runners:
        if own:
            source.close()
        return worker_fleet(
            spec, policy, config, rewards, seed=seed, policy_seed=policy_seed, steps_before=steps_before
        )
    returns = ReturnMoments(source.num_envs, rewards.clip, config.gamma) if rewards.normalize else None
    fragment = config.rollout_fragment_length
    watch = EndlessWatch(spec, limited=source.is_limited)
    return LocalFleet(
        Collector(source, policy, returns, seed, steps_before, watch=watch, collect=config.collect_infos),
        fragment=None if fragment == "auto" else fragment,
        whole_episodes=config.collects_whole_episodes,
        explore=config.explore,
    )


def written(fleet: Fleet, policy: Policy, config: AlgorithmConfig, here: Path) -> Fleet:
    """Return a fleet whose trajectories are written to the folder ``output``; the fleet itself where that is None.

    Args:
        fleet: collects.
        policy: whose steps they are.
        config: the settings.
        here: the folder that the settings are relative to.
    """
    if config.output is None:
        return fleet
    folder = here / Path(config.output).expanduser()
    return WritingFleet(fleet, TrajectoryWriter(folder, policy, config.output_max_file_size))


def write_all(fleet: Fleet | None) -> None:
    """Let a fleet that writes to ``output`` write the steps of episodes that are under way, too."""
    if isinstance(fleet, WritingFleet):
        fleet.write_all()
