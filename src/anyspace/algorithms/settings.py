"""From the arguments of an algorithm to its settings, its environment and the source of its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anyspace import config as configs
from anyspace.algorithms.config import ELSEWHERE, RENAMED, AlgorithmConfig
from anyspace.algorithms.presets import Preset, general_preset, named_preset, preset_names
from anyspace.data.atari import AtariOptions
from anyspace.data.collector import Collector
from anyspace.data.environments import EnvLike, EnvSpec
from anyspace.data.rewards import ReturnMoments, RewardTransform
from anyspace.data.vector import VectorSource, make_separate_source, make_source
from anyspace.errors import ConfigError
from anyspace.execution.fleet import LocalFleet
from anyspace.policy.policy import Policy


def overridden(base: AlgorithmConfig, *layers: Mapping[str, Any]) -> AlgorithmConfig:
    """Return settings with keys laid over them, later layers over earlier ones.

    Raises:
        ConfigError: there is no such key, or a value is of the wrong type.
    """
    for layer in layers:
        base = configs.merge(base, layer, renamed=RENAMED, elsewhere=ELSEWHERE)
    return base


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
    )


def training_source(spec: EnvSpec, settings: AlgorithmConfig) -> VectorSource:
    """Return the environments to train on."""
    return make_source(spec, settings.num_envs_per_env_runner, settings.vectorization)


def preset_for(algorithm: str, spec: EnvSpec, preset: str) -> Preset:
    """Return the shipped settings of an algorithm for an environment: its own, or the general ones for its spaces.

    Args:
        algorithm: its lower-case name.
        spec: the environment.
        preset: the name of one, or ``"auto"``.
    """
    if preset != "auto" or spec.name in preset_names(algorithm):
        return named_preset(algorithm, spec.name if preset == "auto" else preset)
    source = make_separate_source(spec, 1)
    try:
        return general_preset(algorithm, source.observation_space, source.action_space)
    finally:
        source.close()


def preset_name(lineage: Sequence[type]) -> str:
    """Return the name under which presets are shipped for an algorithm.

    A subclass has the presets of the algorithm that it changes.

    Args:
        lineage: the algorithm's class and the classes that it derives from, nearest first.
    """
    names = [kind.__name__.lower() for kind in lineage]
    return next((name for name in names if preset_names(name)), names[0])


def chosen_settings(
    lineage: Sequence[type],
    config_class: type[AlgorithmConfig],
    env: EnvLike | None,
    config: Mapping[str, Any] | AlgorithmConfig | None,
    preset: str | None,
    overrides: Mapping[str, Any],
) -> tuple[EnvLike, AlgorithmConfig]:
    """Return the environment and the validated settings that the arguments of an algorithm's constructor stand for.

    Raises:
        ConfigError: there is no environment, a key is unknown or out of range, or a preset is laid over a whole
            configuration.
    """
    given = {} if config is None or isinstance(config, AlgorithmConfig) else dict(config)
    named_env = given.pop("env", None)
    env = named_env if env is None else env
    if env is None:
        name = lineage[0].__name__
        raise ConfigError(f"{name} needs an environment: {name}(env='CartPole-v1').")
    base = config if isinstance(config, AlgorithmConfig) else config_class()
    settings = overridden(base, given, overrides)
    if preset is not None:
        if isinstance(config, AlgorithmConfig):
            raise ConfigError(
                f"preset={preset!r} takes the place of the defaults, but `config` is a whole configuration; leave"
                " one of them out, or give `config` as a dict of the keys to override."
            )
        chosen = preset_for(preset_name(lineage), environment_spec(env, settings), preset)
        settings = overridden(config_class(), chosen.settings, given, overrides)
    settings.validate()
    return env, settings


def local_fleet(
    source: VectorSource,
    policy: Policy,
    config: AlgorithmConfig,
    rewards: RewardTransform,
    seed: int,
    steps_before: int,
) -> LocalFleet:
    """Return what collects in this process.

    Args:
        source: the environments.
        policy: that acts.
        config: the settings.
        rewards: how rewards are clipped, and whether they are scaled.
        seed: of the environments' first reset.
        steps_before: vector steps of this run so far, for messages.
    """
    returns = ReturnMoments(source.num_envs, rewards.clip, config.gamma) if rewards.normalize else None
    fragment = config.rollout_fragment_length
    return LocalFleet(
        Collector(source, policy, returns, seed, steps_before),
        fragment=None if fragment == "auto" else fragment,
        whole_episodes=config.collects_whole_episodes,
        explore=config.explore,
    )
