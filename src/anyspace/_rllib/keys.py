"""From the keys of RLlib's training scripts to those that algorithms have here."""

from __future__ import annotations

import logging
import operator
from collections.abc import Mapping
from typing import Any, TypeVar

from anyspace._rllib.releases import DEPRECATED
from anyspace.algorithms.config import RENAMED, AlgorithmConfig
from anyspace.algorithms.foreign_keys import FOREIGN_KEYS, WITHOUT_EFFECT
from anyspace.algorithms.layers import overridden
from anyspace.algorithms.off_policy import OffPolicyConfig
from anyspace.config import merge
from anyspace.errors import ConfigError
from anyspace.models import ModelConfig
from anyspace.models.config import DEPRECATED_VALUE

C = TypeVar("C", bound=AlgorithmConfig)

_LOG = logging.getLogger("anyspace")

_DURATIONS = ("evaluation_duration", "evaluation_num_episodes")
CALLED = {
    "input_": "input",
    "max_sample_requests_in_flight_per_worker": "max_requests_in_flight_per_env_runner",
    "min_sample_timesteps_per_reporting": "min_sample_timesteps_per_iteration",
    "sample_batch_size": "rollout_fragment_length",
    "metrics_num_episodes_for_smoothing": "return_window",
    "metrics_smoothing_episodes": "return_window",
    **dict.fromkeys(_DURATIONS, "evaluation_episodes"),
}
"""What keys of RLlib's scripts are called here, where they mean the same."""

_OF_OLDER_RELEASES = {
    "buffer_size": "replay_capacity",
    "learning_starts": "num_steps_sampled_before_learning_starts",
    "timesteps_per_iteration": "min_sample_timesteps_per_iteration",
    "Q_model": "q_model_config",
    "policy_model": "policy_model_config",
}
"""What keys of releases before 2.0 are called here, in algorithms that have these."""
_EPSILON = ("exploration_fraction", "exploration_final_eps")
"""Of DQN before 1.0: the part of ``schedule_max_timesteps`` after which epsilon stays what it is, and what that is."""
_OF_OLDER_MODELS = {
    "custom_options": "custom_model_config",
    "hidden_activation": "fcnet_activation",
    "hidden_layer_sizes": "fcnet_hiddens",
}
_MODEL_AS_HERE: dict[str, tuple[Any, ...]] = {
    "squash_to_range": (None, False),
    "state_shape": (None,),
    "num_framestacks": (None, 0, "auto"),
}
"""The values at which keys of older models say what happens anyway."""

_NEW_STACK = (
    *("enable_rl_module_and_learner", "enable_env_runner_and_connector_v2", "_enable_new_api_stack"),
    *("_enable_learner_api", "_enable_rl_module_api", "rl_module_spec"),
)

_REPLAY_AS_HERE: dict[str, tuple[Any, ...]] = {
    "replay_mode": ("independent",),
    "replay_sequence_length": (1, -1),
    "worker_side_prioritization": (False,),
    "_enable_replay_buffer_api": (True, False),
    "storage_unit": ("timesteps",),
}
"""The values, beside None, at which keys of replay say what happens anyway."""

_AS_HERE: dict[str, tuple[Any, ...]] = {
    **_REPLAY_AS_HERE,
    "vtrace": (True,),
    "minibatch_buffer_size": (1,),
    "_separate_vf_optimizer": (False,),
    "_use_beta_distribution": (False,),
    "grad_clip_by": ("global_norm",),
    "input": ("sampler",),
    "input_evaluation": ([], ["is", "wis"]),
    "evaluation_config": ({},),
    "min_sample_timesteps_per_iteration": (0,),
    "timesteps_per_iteration": (0,),
    "remote_worker_envs": (False,),
    "render_env": (False,),
    "no_done_at_end": (False,),
    "soft_horizon": (False,),
    "num_gpus_per_learner": (0,),
    "shuffle_buffer_size": (0,),
    "opt_type": ("adam",),
    "count_steps_by": ("env_steps", "agent_steps"),
    "evaluation_force_reset_envs_before_iteration": (True,),
    "keep_per_episode_custom_metrics": (False,),
    "min_train_timesteps_per_iteration": (0,),
    "use_worker_filter_stats": (True,),
    "update_worker_filter_stats": (True,),
    "offline_sampling": (False,),
    **dict.fromkeys(("_deterministic_loss", "soft_q", "parameter_noise", "per_worker_exploration"), (False,)),
    **dict.fromkeys(("multiagent_sync_replay", "vf_share_layers"), (False,)),
    **dict.fromkeys(("env_runner_cls", "custom_eval_function", "custom_evaluation_function", "env_task_fn"), ()),
    **dict.fromkeys(("enable_tf1_exec_eagerly", "is_atari"), (False,)),
    **dict.fromkeys(("optimizer", "output_config", "extra_resources", "local_tf_session_args"), ({},)),
    **dict.fromkeys(("sample_async", "monitor", "record_env", "in_evaluation", "_fake_gpus", "fake_sampler"), (False,)),
    **dict.fromkeys(("actions_in_input_normalized", "torch_skip_nan_gradients", "enable_async_evaluation"), (False,)),
    **dict.fromkeys(("before_learn_on_batch", "after_train_step", "horizon", "observation_space", "action_space"), ()),
    **dict.fromkeys(("optimization", "optimization_config"), ()),
    **dict.fromkeys(("input_config", "off_policy_estimation_methods", "multiagent"), ({},)),
    **dict.fromkeys(_NEW_STACK, (False,)),
}
"""The values, beside None, at which keys that there are not say what happens anyway; at any other they are errors."""


_AT_REST = {"env": None, "num_gpus": 0, "evaluation_interval": None, "evaluation_duration_unit": "episodes"}
"""The values of other keys that there are not, as long as they are not given."""


def at_rest(config: AlgorithmConfig) -> dict[str, Any]:
    """Return the defaults that a script can read: those of a configuration, and of keys of RLlib that it has not."""
    found = {key: values[0] if values else None for key, values in _AS_HERE.items()} | _AT_REST
    if isinstance(config, OffPolicyConfig):
        kind = "MultiAgentPrioritizedReplayBuffer" if config.prioritized_replay else "MultiAgentReplayBuffer"
        numbers = {key: getattr(config, _OF_REPLAY[key]) for key in _SHOWN_OF_REPLAY}
        found["replay_buffer_config"] = {"type": kind, **numbers}
    return {**found, **vars(config), "model": config.model.as_dict()}


def names_of(config_class: type[AlgorithmConfig]) -> dict[str, str]:
    """Return what keys of RLlib's scripts are called in the configuration of an algorithm, where they mean the same."""
    return RENAMED | _called(config_class)


def _called(config_class: type[AlgorithmConfig]) -> dict[str, str]:
    fields = config_class.__dataclass_fields__
    return CALLED | {old: new for old, new in _OF_OLDER_RELEASES.items() if new in fields}


def translated(config_class: type[AlgorithmConfig], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys of RLlib by the names that they have here; those without an effect are left out, which is said.

    Raises:
        ConfigError: a value means something that there is not here.
    """
    keys = _renamed(config_class, given)
    if "opt_type" in keys and "opt" in config_class.__dataclass_fields__:
        keys["opt"] = keys.pop("opt_type")
    if keys.get("min_sample_timesteps_per_iteration", 1) in (0, None):
        del keys["min_sample_timesteps_per_iteration"]
    if callable(keys.get("input")):
        raise ConfigError(
            "config key `input_` is a function that makes a reader, but readers are not asked: give what it reads, as"
            " in offline_data(input_='folder'), or read it in `custom_loss`."
        )
    if "use_pytorch" in keys:
        keys.setdefault("framework", "torch" if keys.pop("use_pytorch") else "tf")
    if keys.get("framework") in ("tf2", "tfe"):
        keys["framework"] = "tf"
    if "env_config" in keys and keys["env_config"] is None:
        del keys["env_config"]
    if keys.pop("evaluation_duration_unit", "episodes") != "episodes":
        raise ConfigError("evaluation_duration_unit: an evaluation plays whole episodes here; give their number.")
    if keys.get("evaluation_episodes") == "auto":
        raise ConfigError("evaluation_duration: an evaluation plays a number of episodes here; give it.")
    if keys.pop("num_gpus", 0):
        keys.setdefault("device", "cuda")
    if keys.get("replay_buffer_num_slots") == 0:
        del keys["replay_buffer_num_slots"]  # no batch is learnt from again, which `replay_proportion` says
    if isinstance(keys.get("replay_buffer_config"), Mapping):
        keys |= _replay(keys.pop("replay_buffer_config"), keys.get("model"))
    keys = _of_evaluation(_of_sac(config_class, keys))
    interval = keys.pop("evaluation_interval", None)
    keys = _without_idle(config_class, keys)
    if interval:
        config = _settings(config_class, keys)
        steps = max(config.steps_per_iteration, config.steps_per_round)
        # Where environments reset in a step of its own, an iteration comes to fewer steps: half of one may be missing.
        keys["evaluate_every"] = interval * steps - steps // 2
    return keys


def _renamed(config_class: type[AlgorithmConfig], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys, those of models too, by the names that they have here."""
    fields, called = config_class.__dataclass_fields__, _called(config_class)
    defaults = vars(config_class())
    keys = {}
    for key, value in given.items():
        name = called.get(key, RENAMED.get(key, key))
        is_flag = isinstance(defaults.get(name), bool) or key in _AS_HERE
        if not (_is_deprecated(value) and (is_flag or key in DEPRECATED)):
            keys[called.get(key, key)] = value
    if keys.get("vf_share_layers"):
        model = keys.get("model") or {}
        keys["model"] = {"vf_share_layers": keys.pop("vf_share_layers"), **model}
    for name in ("model", "q_model_config", "policy_model_config"):
        if isinstance(keys.get(name), Mapping):
            own = {_OF_OLDER_MODELS.get(key, key): value for key, value in keys[name].items()}
            keys[name] = {key: value for key, value in own.items() if value not in _MODEL_AS_HERE.get(key, ())}
    if "exploration_config" in fields and not keys.keys().isdisjoint(_EPSILON):
        horizon = keys.pop("schedule_max_timesteps", 100_000)
        steps = int(keys.pop("exploration_fraction", 0.1) * horizon)
        epsilon = {"final_epsilon": keys.pop("exploration_final_eps", 0.02), "epsilon_timesteps": steps}
        keys["exploration_config"] = {"type": "EpsilonGreedy", **epsilon, **(keys.get("exploration_config") or {})}
    for name in ("lr", "entropy_coeff"):  # RLlib's new stack has schedules in their place
        if isinstance(keys.get(name), list | tuple) and f"{name}_schedule" in fields:
            keys[f"{name}_schedule"] = keys.pop(name)
        elif name in keys and keys[name] is None:
            del keys[name]
    today = {RENAMED.get(key, key): value for key, value in keys.items()}
    if not today.get("num_env_runners") and not today.get("evaluation_num_env_runners"):
        for key in ("restart_failed_env_runners", "recreate_failed_workers"):  # of workers that there are none of
            keys.pop(key, None)
    multiagent = keys.get("multiagent")
    if isinstance(multiagent, Mapping) and not multiagent.get("policies"):
        del keys["multiagent"]
    return keys


def _is_deprecated(value: object) -> bool:
    """Whether RLlib takes a value for none, where no number is wanted."""
    return type(value) is int and value == DEPRECATED_VALUE


_EVALUATION_AS_HERE: dict[str, tuple[Any, ...]] = {
    "explore": (False,),
    "input": ("sampler",),
    "input_": ("sampler",),
    "num_envs_per_env_runner": (1,),
    **dict.fromkeys(("render_env", "record_env", "monitor"), (False,)),
}
"""The values, beside None, at which keys of ``evaluation_config`` say what happens anyway."""


def _of_evaluation(keys: dict[str, Any]) -> dict[str, Any]:
    """Return keys without those of ``evaluation_config`` that repeat others, or say what happens anyway."""
    given = keys.get("evaluation_config")
    if not isinstance(given, Mapping):
        return keys
    left = {}
    for key, value in given.items():
        name = str(RENAMED.get(key, key))
        if name == "num_env_runners":
            keys.setdefault("evaluation_num_env_runners", value)
        elif value not in (None, {}, keys.get(key), keys.get(name), *_EVALUATION_AS_HERE.get(name, ())):
            left[key] = value
    return {**keys, "evaluation_config": left}


def with_rhythm(config_class: type[AlgorithmConfig], keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys with which an algorithm that replays takes as many gradient steps as RLlib's defaults ask for.

    These are one after each round of collecting, in which each environment takes ``rollout_fragment_length`` steps:
    ``n_step`` unless that is given.

    Args:
        config_class: of the algorithm.
        keys: as they are called here.
    """
    if not issubclass(config_class, OffPolicyConfig):
        return dict(keys)
    found, config = dict(keys), _settings(config_class, keys)
    if keys.get("rollout_fragment_length", "auto") == "auto" and config.n_step > 1:
        found["rollout_fragment_length"] = config.n_step
        config = _settings(config_class, found)
    if keys.get("training_intensity") is None and config.steps_per_round > 1:
        found["training_intensity"] = config.rows_per_step / config.steps_per_round
    return found


def with_effect(config_class: type[AlgorithmConfig], keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys without those that have no effect beside the others, which is said; old scripts hold many of these.

    Args:
        config_class: of the algorithm.
        keys: as they are called here.
    """
    config, default = _settings(config_class, keys), config_class()
    found = {key: dict(value) if isinstance(value, Mapping) else value for key, value in keys.items()}
    places = {RENAMED.get(key, key): (found, key) for key in found}
    for key, value in found.items():
        if isinstance(value, dict):
            places |= {f"{key}.{inner}": (value, inner) for inner in value}
    left_out = []
    for path in config.without_effect():
        value, unchanged = (operator.attrgetter(path)(one) for one in (config, default))
        if path in places and value != unchanged:
            holder, key = places[path]
            del holder[key]
            left_out.append(path)
    if left_out:
        _LOG.warning("Left out, for the other keys leave no effect to %s.", ", ".join(f"`{key}`" for key in left_out))
    return found


def _settings(config_class: type[C], keys: Mapping[str, Any]) -> C:
    """Return the settings that keys stand for over RLlib's defaults."""
    known = {key: value for key, value in keys.items() if key not in ("env", "preset")}
    return overridden(config_class(), known)


def _without_idle(config_class: type[AlgorithmConfig], keys: dict[str, Any]) -> dict[str, Any]:
    """Return keys without those that change nothing here."""
    fields = config_class.__dataclass_fields__
    beta = keys.get("beta", getattr(config_class(), "beta", 0))
    as_here = {**_AS_HERE, "postprocess_inputs": (True,) if beta else (True, False)}
    foreign = {key: RENAMED.get(key, key) for key in keys if RENAMED.get(key, key) not in fields}
    implied = {
        key
        for key, name in foreign.items()
        if (name in as_here and keys[key] in as_here[name])
        or keys[key] is None
        or ((name in as_here or name in FOREIGN_KEYS) and keys[key] == {})
    }
    idle = sorted(key for key, name in foreign.items() if name in WITHOUT_EFFECT)
    if idle:
        _LOG.warning("Nothing here depends on %s; left out.", ", ".join(f"`{key}`" for key in idle))
    return {key: value for key, value in keys.items() if key not in implied and key not in idle}


_RATES = {"actor_learning_rate": "actor_lr", "critic_learning_rate": "critic_lr", "entropy_learning_rate": "alpha_lr"}


def _of_sac(config_class: type[AlgorithmConfig], keys: dict[str, Any]) -> dict[str, Any]:
    """Return keys in which those of RLlib's SAC have the names that they have here."""
    if "actor_lr" not in config_class.__dataclass_fields__:
        return keys
    for name in ("optimization", "optimization_config"):
        if isinstance(keys.get(name), Mapping):
            keys |= {_known(f"{name}.{key}", _RATES, key): rate for key, rate in keys.pop(name).items()}
    if keys.pop("_use_beta_distribution", False):
        model = keys.get("model") or {}
        own = {"custom_action_dist": "Beta"}
        keys["model"] = {**own, **model} if isinstance(model, Mapping) else merge(model, own)
    return keys


_OF_REPLAY = {
    "capacity": "replay_capacity",
    "alpha": "prioritized_replay_alpha",
    "beta": "prioritized_replay_beta",
    "learning_starts": "num_steps_sampled_before_learning_starts",
    **{
        key: key
        for key in (
            *("replay_burn_in", "prioritized_replay", "prioritized_replay_alpha", "prioritized_replay_beta"),
            *("prioritized_replay_eps", "num_steps_sampled_before_learning_starts"),
        )
    },
}
_SHOWN_OF_REPLAY = ("capacity", *(f"prioritized_replay_{name}" for name in ("alpha", "beta", "eps")))
"""Of these, what a script can read that gave none."""
_REPLAY_REFUSED = {
    "storage_unit": "steps are kept one by one ('timesteps'), and with a memory drawn as 'sequences'",
    "replay_sequence_length": "with a memory, sequences have `model.max_seq_len` steps",
    "replay_zero_init_states": "sequences begin with the states that were stored, and `replay_burn_in` updates them",
}


_BUFFERS = (
    *("ReplayBuffer", "PrioritizedReplayBuffer", "MultiAgentReplayBuffer", "MultiAgentPrioritizedReplayBuffer"),
    *("EpisodeReplayBuffer", "PrioritizedEpisodeReplayBuffer", "MultiAgentEpisodeReplayBuffer"),
    "MultiAgentPrioritizedEpisodeReplayBuffer",
)
"""Types of RLlib's buffers that keep the latest steps, as the replay here does."""
_MEMORIES = ("use_lstm", "use_gru", "use_attention", "custom_model")
"""Keys of models by which one may have a memory."""


def _replay(config: Mapping[str, Any], model: object) -> dict[str, Any]:
    """Return the keys that stand for RLlib's ``replay_buffer_config``; ``model`` is what stands beside it."""
    keys = {"prioritized_replay": "Prioritized" in _buffer(config["type"])} if "type" in config else {}
    given = model if isinstance(model, Mapping) else vars(model) if isinstance(model, ModelConfig) else {}
    units = ("sequences",) if any(given.get(key) for key in _MEMORIES) else ()
    as_here = {**_REPLAY_AS_HERE, "storage_unit": (*_REPLAY_AS_HERE["storage_unit"], *units)}
    for key, value in config.items():
        is_idle = _is_deprecated(value) or (key in as_here and value in (None, *as_here[key]))
        if key != "type" and not is_idle:
            keys[_known(f"replay_buffer_config.{key}", _OF_REPLAY, key)] = value
    return keys


def _buffer(kind: object) -> str:
    """Return the name of a type of RLlib's buffers, which may be its path or the class."""
    name = kind.__name__ if isinstance(kind, type) else str(kind).rpartition(".")[2]
    if name not in _BUFFERS:
        raise ConfigError(
            f"config key `replay_buffer_config.type` is {kind!r}, but the replay here keeps the latest steps, as"
            f" {', '.join(_BUFFERS)} do: take one of these, or leave it out."
        )
    return name


def _known(place: str, names: Mapping[str, str], key: str) -> str:
    if key not in names:
        reason = _REPLAY_REFUSED.get(key, "it has no meaning here")
        raise ConfigError(f"config key `{place}` is not taken: {reason}; leave it out.")
    return names[key]
