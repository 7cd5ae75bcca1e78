"""From the settings of an algorithm to workers that collect and evaluate."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any

from gymnasium.vector import VectorEnv

from anyspace.algorithms.config import AlgorithmConfig
from anyspace.data.environments import EnvSpec
from anyspace.data.rewards import RewardTransform
from anyspace.data.seeds import acting_seed
from anyspace.errors import ConfigError
from anyspace.execution.dispatch import Dispatcher
from anyspace.execution.evaluate import Evaluator, LocalEvaluator
from anyspace.execution.fleet import Pace, WorkerEvaluator, WorkerFleet
from anyspace.execution.packing import BufferLayout
from anyspace.execution.transport import SerialTransport, Transport
from anyspace.execution.worker import Recipe
from anyspace.policy.exploration import Exploration, ReportingExploration, StatefulExploration
from anyspace.policy.policy import Policy


def require_workers(spec: EnvSpec | None, config: AlgorithmConfig) -> None:
    """Raise :class:`ConfigError` if there are to be workers that cannot be.

    Args:
        spec: the environment, if there is one.
        config: the settings.
    """
    key = "num_env_runners" if config.num_env_runners else "evaluation_num_env_runners"
    count = getattr(config, key)
    if count and spec is not None and isinstance(spec.env, VectorEnv):
        raise ConfigError(
            f"`{key}` is {count}, but the environment is a vector environment that is there already, of which each"
            " worker would need one of its own. Give an id, a class or a function instead."
        )
    if count and spec is None:
        raise ConfigError(f"`{key}` is {count}, but there is no environment for workers to step: give one, too.")
    if config.needs_ray and find_spec("ray") is None:
        raise ConfigError(
            f"`{key}` is {count}, which needs Ray: pip install 'anyspace[ray]'. fleet='serial' runs the same workers in"
            " this process, one after the other."
        )


def require_exploration(exploration: Exploration, config: AlgorithmConfig) -> None:
    """Raise :class:`ConfigError` where ``exact_resume`` asks for what an exploration remembers in workers.

    Args:
        exploration: of the policy.
        config: the settings.
    """
    if config.exact_resume and config.num_env_runners and isinstance(exploration, StatefulExploration):
        raise ConfigError(
            f"config key `exact_resume`: with `num_env_runners`, what {type(exploration).__name__} remembers is in the"
            " workers, and in no checkpoint; take another `exploration_config`, or num_env_runners=0."
        )


def explored(exploration: Exploration, config: AlgorithmConfig) -> dict[str, float]:
    """Return what exploring comes to at present, where the policy takes steps by it.

    Args:
        exploration: of the policy that learns.
        config: the settings.
    """
    acts = config.explore and config.acts_while_training
    return exploration.metrics(config.num_env_runners) if acts and isinstance(exploration, ReportingExploration) else {}


def worker_fleet(
    spec: EnvSpec,
    policy: Policy,
    config: AlgorithmConfig,
    rewards: RewardTransform,
    *,
    seed: int,
    policy_seed: int,
    steps_before: int,
) -> WorkerFleet:
    """Return workers that collect.

    Args:
        spec: the environment.
        policy: the learner's.
        config: the settings.
        rewards: how rewards are clipped, and whether they are scaled.
        seed: of the environments' first reset.
        policy_seed: of the policy's random sources.
        steps_before: vector steps of this run so far, for messages.
    """
    recipe = _recipe(
        spec,
        policy,
        config,
        seed=policy_seed,
        workers=config.num_env_runners,
        collects=True,
        returns=(rewards.clip, config.gamma) if rewards.normalize else None,
        steps_before=steps_before,
    )
    dispatcher = _dispatcher(recipe, policy, config, most=config.most_requests)
    fragment = config.rollout_fragment_length
    pace = Pace(
        fragment=None if fragment == "auto" else fragment,
        asynchronous=config.is_asynchronous,
        any_order=config.sample_order == "ready",
        broadcast_interval=config.broadcast_interval,
        is_remote=config.needs_ray,
    )
    # A run that begins acts from where the learner's own random source stands, as it would without workers.
    acting = policy_seed if steps_before == 0 else acting_seed(seed)
    return WorkerFleet(policy, dispatcher, recipe, pace, seed, acting)


def new_evaluator(spec: EnvSpec, policy: Policy, config: AlgorithmConfig, policy_seed: int) -> Evaluator:
    """Return who evaluates: this process, or workers."""
    local = LocalEvaluator(
        policy, spec, config.evaluation_max_episode_steps, config.vectorization, config.env_timeout_s
    )
    workers = config.evaluation_num_env_runners
    if not workers:
        return local
    recipe = _recipe(spec, policy, config, seed=policy_seed, workers=workers, collects=False)
    return WorkerEvaluator(policy, _dispatcher(recipe, policy, config), recipe, local)


def _recipe(
    spec: EnvSpec,
    policy: Policy,
    config: AlgorithmConfig,
    *,
    seed: int,
    workers: int,
    collects: bool,
    returns: tuple[bool | float, float] | None = None,
    steps_before: int = 0,
) -> Recipe:
    return Recipe(
        spec=spec.resolved(),
        config=config,
        plan=policy.plan,
        observation_space=policy.observation_space,
        action_space=policy.env_action_space,
        layout=BufferLayout(policy.weights()),
        seed=seed,
        workers=workers,
        num_envs=config.num_envs_per_env_runner,
        vectorization=config.vectorization,
        whole_episodes=config.collects_whole_episodes,
        collect=tuple(config.collect_infos),
        returns=returns,
        limit=config.env_timeout_s,
        with_logp=config.sends_logp,
        collects=collects,
        steps_before=steps_before,
        max_episode_steps=config.evaluation_max_episode_steps,
    )


def _dispatcher(recipe: Recipe, policy: Policy, config: AlgorithmConfig, most: int = 1) -> Dispatcher[Any, Any, Any]:
    """Return what reaches the workers of a policy; where they are in this process, time does not pass for it."""
    auto = config.max_requests_in_flight_per_env_runner == "auto"
    transport: Transport[Any, Any, Any]
    if config.fleet == "serial":
        transport = SerialTransport(recipe)
    else:
        from anyspace.execution.ray_fleet import Demand, RayTransport, Resources

        resources = Resources(
            cpus=config.num_cpus_per_env_runner,
            gpus=config.num_gpus_per_env_runner,
            custom=config.custom_resources_per_env_runner,
        )
        everybody = config.num_env_runners + config.evaluation_num_env_runners
        late = config.num_env_runners - config.least_env_runners
        asked = Demand(
            owner=policy,
            workers=everybody,
            least=everybody - late,
            resources=resources,
            address=config.ray_address,
            runtime_env=config.ray_runtime_env,
        )
        transport = RayTransport(recipe, asked)
    serial: dict[str, Any] = {"clock": lambda: 0.0} if config.fleet == "serial" else {"adapts": auto}
    return Dispatcher(
        transport,
        recipe.workers,
        most=most,
        max_lag=config.max_lag,
        timeout=config.sample_timeout_s,
        restarts=config.restart_failed_env_runners,
        least=config.least_env_runners if recipe.collects else None,
        tell=logging.getLogger("anyspace").warning,
        **serial,
    )
