"""From what a user gives an algorithm to its settings, its environment and the source of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyspace import config as configs
from anyspace.algorithms.config import ELSEWHERE, RENAMED, AlgorithmConfig
from anyspace.algorithms.presets import Preset, general_preset, named_preset, preset_names
from anyspace.data.atari import AtariOptions
from anyspace.data.environments import EnvLike, EnvSpec
from anyspace.data.vector import VectorSource, make_separate_source, make_source


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
