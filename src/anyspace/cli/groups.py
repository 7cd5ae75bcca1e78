"""Configuration keys in groups, as ``--help`` shows them."""

from __future__ import annotations

import dataclasses
import typing
from typing import Annotated, Any

import tyro

from anyspace import config as configs
from anyspace.algorithms.config import AlgorithmConfig

LEARNING = "learning"
_GROUPS: dict[str, tuple[str, ...]] = {
    LEARNING: (*("model", "explore", "exploration_config", "gamma", "lr", "lr_schedule", "grad_clip", "adam_epsilon"),),
    "environment": (
        *("env_config", "wrappers", "vectorization", "env_timeout_s", "num_env_runners", "num_envs_per_env_runner"),
        *("rollout_fragment_length", "batch_mode", "collect_infos", "clip_rewards", "normalize_rewards"),
    ),
    "spaces": (
        *("observation_filter", "max_len", "ignore", "out_of_bounds", "action_mask_key", "normalize_actions"),
        *("clip_actions", "scale_images", "preprocessor_pref", "_disable_preprocessor_api"),
        *("_disable_action_flattening",),
    ),
    "evaluation": (
        *("evaluate_every", "evaluation_episodes", "evaluation_max_episode_steps", "return_window", "stop_return"),
    ),
    "processes": (
        *(
            "fleet",
            "min_env_runners",
            "max_requests_in_flight_per_env_runner",
            "sample_order",
            "broadcast_interval",
            "max_lag",
        ),
        *("sample_timeout_s", "restart_failed_env_runners", "num_cpus_per_env_runner", "num_gpus_per_env_runner"),
        *("custom_resources_per_env_runner", "evaluation_num_env_runners", "evaluation_parallel_to_training"),
        *("ray_address", "ray_runtime_env"),
    ),
    "machine": (
        *("seed", "framework", "device", "checkpoint_every", "keep", "exact_resume", "output", "output_max_file_size"),
    ),
}
"""The keys that all algorithms share by what they are about; those of an algorithm are about learning."""


def grouped_fields(defaults: AlgorithmConfig) -> list[tuple[str, Any, Any]]:
    """Return fields for :func:`dataclasses.make_dataclass`: one for each group, and those that are nested themselves.

    A field of a group is a dataclass of its keys, whose flags do not name the group.
    """
    hints = typing.get_type_hints(type(defaults), include_extras=True)
    kind: type = type(defaults)
    documents = configs.documents(kind)
    groups: dict[str, list[str]] = {name: [] for name in _GROUPS}
    nested: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(defaults):
        value = getattr(defaults, field.name)
        if configs.is_nested(value):
            nested.append((field.name, hints[field.name], value))
        else:
            groups[_group_of(field.name)].append(field.name)
    fields: list[tuple[str, Any, Any]] = []
    for group, names in groups.items():
        keys: list[tuple[str, Any, Any]] = []
        for name in names:
            text = tyro.conf.arg(help=" ".join(documents.get(name, "").split()))
            keys.append((name, Annotated[hints[name], text], _default(getattr(defaults, name))))
        made = dataclasses.make_dataclass(group, keys)
        made.__doc__ = ""
        fields.append((group, Annotated[made, tyro.conf.OmitArgPrefixes], dataclasses.field(default_factory=made)))
    return [*fields, *nested]


def ungrouped(defaults: AlgorithmConfig, read: Any) -> AlgorithmConfig:
    """Return settings with the values that groups hold."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(defaults):
        is_nested = configs.is_nested(getattr(defaults, field.name))
        values[field.name] = getattr(read if is_nested else getattr(read, _group_of(field.name)), field.name)
    return dataclasses.replace(defaults, **values)


def _group_of(key: str) -> str:
    return next((group for group, keys in _GROUPS.items() if key in keys), LEARNING)


def _default(value: Any) -> Any:
    is_plain = isinstance(value, str | int | float | tuple | None)
    return dataclasses.field(default=value) if is_plain else dataclasses.field(default_factory=lambda: value)
