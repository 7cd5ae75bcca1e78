"""Names of RLlib's old stack that files import and that nothing here stands for.

A file that names one of them can be imported: the name is a class, which can be derived from and asked for by
``isinstance``. The error comes when it is built or called.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, NoReturn

REASONS = {
    "tensorflow": (
        "it works on TensorFlow, and is not offered, or TensorFlow is not installed (pip install 'anyspace[tf]'). Use"
        " `tf.keras`, or the module of PyTorch beside it, `models.torch` or `utils.torch_utils`"
    ),
    "agents": (
        "several agents in one environment are not offered, unless they share a policy by SuperSuit. Train on one"
        " agent's gymnasium.Env"
    ),
    "environments": "environments are gymnasium.Env, one by one or as a gymnasium.vector.VectorEnv",
    "algorithms": (
        "it is not among the algorithms that are offered, which are PPO, APPO, IMPALA, A2C, PG, DQN, SAC, MARWIL and"
        " BC. Take SAC in the place of TD3 and DDPG, A2C or IMPALA in that of A3C, MARWIL in that of CQL"
    ),
    "policies": (
        "a policy is a model and a distribution here. Derive an algorithm and override `losses` or `updates`, and read"
        " algo.policy"
    ),
    "sequences": (
        "algorithms cut sequences themselves: `model.max_seq_len` steps, and `replay_burn_in` ahead of them where"
        " replay has these. chop_into_sequences cuts without an overlap"
    ),
    "workers": "there are no workers to be held: algo.train(), algo.evaluate() and algo.policy take their place",
    "callbacks": (
        "its methods have other arguments here: derive from anyspace.Callback, and hand an object to learn(callback=)"
    ),
    "recorded": (
        "recorded steps are read from JSON (JsonReader, or MARWIL and BC with `input`) and from Minari. Convert others"
        " to one of these"
    ),
    "new stack": "RLlib's new API stack (RLModule, Learner, connectors, episodes) is not offered. Write a TorchModelV2",
    "networks": (
        "it is not among the networks that are offered. Take `use_attention` (GTrXL), or write its layers in a"
        " TorchModelV2 or TFModelV2"
    ),
    "exploration": (
        "explorations are named in the configuration: `exploration_config={'type': 'EpsilonGreedy'}`, or"
        " `package.module:Class` for your own"
    ),
    "replay": "replay belongs to the algorithm, and is not to be held",
    "pickle": "what is written here is JSON and safetensors. Use anyspace.spaces.to_json, algo.save and Algorithm.load",
    "tests": "it tests RLlib. Compare arrays with numpy.testing.assert_allclose",
    "checks": (
        "anyspace.check_env(env) lists what is wrong with an environment, as `anyspace check ENV` does; what"
        " environments return is checked at every step"
    ),
    "jax": "models for JAX are in anyspace.models.jax: derive from JaxModelV2 (docs/frameworks.md)",
    "old gym": "environments are gymnasium.Env: reset returns (obs, info), step five values",
    "command line": (
        "the command line is `anyspace train ENV --algo ppo` and `anyspace evaluate RUN`; docs/porting.md shows what"
        " becomes of `rllib train`"
    ),
    "training": "it is a part of RLlib's training loop, which anyspace.execution has in its own form",
    "factories": (
        "objects are not built from names. Build them, or name classes in the configuration: `package.module:Class`"
    ),
    "examples": "the examples of RLlib are not here. Copy the file into your project and change its imports as well",
}

_EXPLORATIONS = (
    "Curiosity EpsilonGreedy Exploration GaussianNoise OrnsteinUhlenbeckNoise ParameterNoise PerWorkerEpsilonGreedy"
    " PerWorkerGaussianNoise PerWorkerOrnsteinUhlenbeckNoise RE3 Random SlateEpsilonGreedy SlateSoftQ SoftQ"
    " StochasticSampling ThompsonSampling UpperConfidenceBound"
)
_FILES_OF_EXPLORATIONS = {
    "curiosity": "Curiosity",
    "epsilon_greedy": "EpsilonGreedy",
    "gaussian_noise": "GaussianNoise",
    "ornstein_uhlenbeck_noise": "OrnsteinUhlenbeckNoise",
    "parameter_noise": "ParameterNoise",
    "per_worker_epsilon_greedy": "PerWorkerEpsilonGreedy",
    "per_worker_gaussian_noise": "PerWorkerGaussianNoise",
    "random": "Random",
    "random_encoder": "RE3",
    "soft_q": "SoftQ",
    "stochastic_sampling": "StochasticSampling",
}
_REPLAYS = (
    "FifoReplayBuffer MultiAgentPrioritizedReplayBuffer MultiAgentReplayBuffer PrioritizedReplayBuffer ReplayBuffer"
    " ReplayMode ReservoirReplayBuffer StorageUnit"
)
_FUNCTIONS_OF_TF = (
    "clip_gradients get_placeholder get_tf_eager_cls_if_necessary make_tf_callable scope_vars update_target_network"
    " warn_if_infinite_kl_divergence"
)


def _policies(algorithm: str, framework: str) -> str:
    """Return the names of an algorithm's policies, of both ways of TensorFlow."""
    kinds = ("TF", "TF1", "TF2") if framework == "tf" else ("Torch",)
    return " ".join(f"{algorithm}{kind}Policy" for kind in kinds)


_WITH_POLICIES = ("appo", "dqn", "impala", "marwil", "pg", "ppo", "sac")

NAMES: dict[str, dict[str, str]] = {
    "": {
        "agents": "MultiAgentEnv",
        "environments": "BaseEnv ExternalEnv VectorEnv",
        "policies": "Policy TFPolicy TorchPolicy",
        "workers": "RolloutWorker",
    },
    "agents.a3c": {"algorithms": "A3CTrainer"},
    "agents.a3c.a3c": {"algorithms": "A3CTrainer"},
    "agents.dqn": {"algorithms": "ApexTrainer R2D2Trainer SimpleQTrainer", "policies": "DQNTFPolicy DQNTorchPolicy"},
    "agents.ppo": {"algorithms": "DDPPOTrainer", "policies": "PPOTFPolicy PPOTorchPolicy"},
    "agents.trainer_template": {"policies": "build_trainer"},
    **{
        f"{place}.{name}.{name}_{framework}_policy": {"policies": _policies(name.upper(), framework)}
        for place in ("agents", "algorithms")
        for name in _WITH_POLICIES
        for framework in ("tf", "torch")
    },
    "algorithms.callbacks": {"callbacks": "MemoryTrackingCallbacks", "exploration": "RE3UpdateCallbacks"},
    "env": {
        "agents": (
            "ExternalMultiAgentEnv GroupAgentsWrapper MultiAgentEnv ParallelPettingZooEnv PettingZooEnv Unity3DEnv"
        ),
        "environments": "BaseEnv ExternalEnv PolicyClient PolicyServerInput RemoteBaseEnv VectorEnv",
    },
    "env.base_env": {"environments": "BaseEnv convert_to_base_env with_dummy_agent_id"},
    "env.external_env": {"environments": "ExternalEnv ExternalEnvWrapper"},
    "env.external_multi_agent_env": {"agents": "ExternalMultiAgentEnv"},
    "env.multi_agent_env": {"agents": "ENV_STATE MultiAgentEnv MultiAgentEnvWrapper make_multi_agent"},
    "env.policy_client": {"environments": "PolicyClient"},
    "env.policy_server_input": {"environments": "PolicyServerInput"},
    "env.remote_base_env": {"environments": "RemoteBaseEnv"},
    "env.vector_env": {"environments": "VectorEnv VectorEnvWrapper"},
    "env.wrappers.group_agents_wrapper": {"agents": "GroupAgentsWrapper"},
    "env.wrappers.multi_agent_env_compatibility": {"agents": "MultiAgentEnvCompatibility"},
    "env.wrappers.open_spiel": {"agents": "OpenSpielEnv"},
    "env.wrappers.pettingzoo_env": {"agents": "ParallelPettingZooEnv PettingZooEnv"},
    "env.wrappers.unity3d_env": {"agents": "Unity3DEnv"},
    "evaluation": {
        "agents": "MultiAgentBatch MultiAgentSampleBatchBuilder",
        "callbacks": "Episode MultiAgentEpisode",
        "workers": "RolloutWorker SyncSampler collect_metrics",
    },
    "evaluation.episode": {"callbacks": "Episode MultiAgentEpisode"},
    "evaluation.episode_v2": {"callbacks": "EpisodeV2"},
    "evaluation.metrics": {
        "workers": "RolloutMetrics collect_episodes collect_metrics get_learner_stats summarize_episodes"
    },
    "evaluation.postprocessing": {"policies": "compute_bootstrap_value compute_gae_for_sample_batch"},
    "evaluation.rollout_worker": {"workers": "RolloutWorker get_global_worker"},
    "evaluation.sample_batch_builder": {"agents": "MultiAgentSampleBatchBuilder"},
    "evaluation.sampler": {"workers": "SamplerInput SyncSampler"},
    "evaluation.worker_set": {"workers": "WorkerSet"},
    "models.distributions": {"new stack": "Distribution"},
    "models.tf.attention_net": {"networks": "PositionwiseFeedforward TrXLNet"},
    "models.tf.noop": {"networks": "NoopModel"},
    "models.torch.mingpt": {"networks": "Block CausalSelfAttention GPT GPTConfig NewGELU"},
    "models.torch.torch_distributions": {
        "new stack": (
            "TorchCategorical TorchDeterministic TorchDiagGaussian TorchDistribution TorchMultiCategorical"
            " TorchMultiDistribution TorchSquashedGaussian"
        )
    },
    "offline": {"recorded": "D4RLReader DatasetReader DatasetWriter"},
    "offline.dataset_reader": {"recorded": "DatasetReader get_dataset_and_shards"},
    "offline.dataset_writer": {"recorded": "DatasetWriter"},
    "policy": {"policies": "Policy TFPolicy TorchPolicy build_policy_class build_tf_policy"},
    "policy.policy": {
        "policies": "Policy PolicySpec get_gym_space_from_struct_of_spaces get_gym_space_from_struct_of_tensors"
    },
    "policy.policy_map": {"agents": "PolicyMap"},
    "policy.policy_template": {"policies": "build_policy_class"},
    "policy.rnn_sequencing": {"sequences": "timeslice_along_seq_lens_with_overlap"},
    "policy.sample_batch": {"agents": "MultiAgentBatch concat_samples_into_ma_batch"},
    "policy.tf_policy": {"tensorflow": "TFPolicy"},
    "policy.tf_policy_template": {"tensorflow": "build_tf_policy"},
    "policy.torch_mixins": {
        "policies": "EntropyCoeffSchedule KLCoeffMixin LearningRateSchedule TargetNetworkMixin ValueNetworkMixin"
    },
    "policy.torch_policy": {"policies": "DirectStepOptimizer TorchPolicy"},
    "policy.torch_policy_template": {"policies": "build_torch_policy"},
    "policy.torch_policy_v2": {"policies": "TorchPolicyV2"},
    "utils": {
        "checks": "check_env",
        "tests": "check check_compute_single_action check_train_results",
        "workers": "FilterManager",
    },
    "utils.compression": {"pickle": "compression_supported is_compressed pack pack_if_needed unpack unpack_if_needed"},
    "utils.debug": {"tests": "check_memory_leaks"},
    "utils.debug.memory": {"tests": "check_memory_leaks"},
    "utils.exploration": {"exploration": _EXPLORATIONS},
    "utils.exploration.exploration": {"exploration": "Exploration"},
    **{f"utils.exploration.{file}": {"exploration": name} for file, name in _FILES_OF_EXPLORATIONS.items()},
    "utils.filter_manager": {"workers": "FilterManager"},
    "utils.replay_buffers": {"replay": _REPLAYS},
    "utils.replay_buffers.replay_buffer": {"replay": "ReplayBuffer StorageUnit"},
    "utils.replay_buffers.utils": {"replay": "update_priorities_in_replay_buffer validate_buffer_config"},
    "utils.schedules.scheduler": {"new stack": "Scheduler"},
    "utils.from_config": {"factories": "NotProvided from_config from_file"},
    "utils.serialization": {
        "pickle": (
            "check_if_args_kwargs_serializable convert_numpy_to_python_primitives deserialize_type gym_space_from_dict"
            " gym_space_to_dict serialize_type space_from_dict space_to_dict"
        )
    },
    "utils.test_utils": {
        "tests": "check check_compute_single_action check_learning_achieved check_train_results framework_iterator"
    },
    "utils.tf_run_builder": {"tensorflow": "run_timeline"},
    "utils.tf_utils": {"tensorflow": _FUNCTIONS_OF_TF},
    "utils.torch_utils": {"policies": "concat_multi_gpu_td_errors"},
    "utils.typing": {"new stack": "ActionConnectorDataType AgentConnectorDataType AgentConnectorsOutput"},
}
"""Old path -> why -> names."""

_ALGORITHMS = (
    "a3c alpha_star alpha_zero apex apex_ddpg apex_dqn ars bandit cql crr ddpg ddppo dreamer dreamerv3 dt es"
    " leela_chess_zero maddpg maml mbmpo qmix r2d2 rainbow random_agent simple_q slateq td3"
)

FAMILIES = {
    **{f"{place}.{name}": "algorithms" for place in ("algorithms", "agents") for name in _ALGORITHMS.split()},
    "callbacks": "callbacks",
    "common": "command line",
    "connectors": "new stack",
    "contrib": "algorithms",
    "core": "new stack",
    "env.env_runner": "new stack",
    "env.env_runner_group": "workers",
    "env.multi_agent_env_runner": "new stack",
    "env.multi_agent_episode": "new stack",
    "env.single_agent_env_runner": "new stack",
    "env.single_agent_episode": "new stack",
    "env.utils": "new stack",
    "evaluate": "command line",
    "evaluation.collectors": "workers",
    "evaluation.env_runner_v2": "workers",
    "examples": "examples",
    "execution": "training",
    "models.jax": "jax",
    "offline": "recorded",
    "policy": "policies",
    "rollout": "command line",
    "train": "command line",
    "tuned_examples": "examples",
    "utils.actor_manager": "workers",
    "utils.actors": "workers",
    "utils.checkpoints": "pickle",
    "utils.exploration": "exploration",
    "utils.gym": "old gym",
    "utils.memory": "workers",
    "utils.metrics": "training",
    "utils.minibatch_utils": "training",
    "utils.policy": "policies",
    "utils.postprocessing": "new stack",
    "utils.pre_checks": "checks",
    "utils.replay_buffers": "replay",
    "utils.sgd": "training",
    "utils.timer": "training",
    "utils.window_stat": "training",
}
"""First parts of paths that are no modules here -> why."""


class _ExplainsItself(ABCMeta):
    """Says, of an attribute that a stand-in is asked for, why there is none."""

    def __getattr__(cls, name: str) -> NoReturn:
        raise AttributeError(f"{cls.__name__}.{name}: {cls._reason}. docs/porting.md says what works instead.")


class Refused(metaclass=_ExplainsItself):
    """Base of the stand-ins.

    Raises:
        NotImplementedError: when one, or a class derived from one, is built or called.
    """

    _stands_for: ClassVar[str] = ""
    _reason: ClassVar[str] = ""

    def __new__(cls, *_: object, **__: object) -> NoReturn:
        """Refuse to be built."""
        derived = "" if cls.__name__ == cls._stands_for else f" (derived from {cls._stands_for})"
        raise NotImplementedError(f"{cls.__name__}{derived}: {cls._reason}. docs/porting.md says what works instead.")


@cache
def stand_in(name: str, reason: str) -> type[Any]:
    """Return the class that stands for a name; ``reason`` is one of `REASONS`."""
    text = REASONS[reason]
    own = {"__doc__": f"Not offered: {text}.", "__module__": __name__, "_stands_for": name, "_reason": text}
    return type(name, (Refused,), own)


def reason_of(path: str) -> str | None:
    """Return why there is no module of an old path, where its family says so."""
    parents = [first for first in FAMILIES if path == first or path.startswith(f"{first}.")]
    return REASONS[FAMILIES[max(parents, key=len)]] if parents else None


def why_unknown(path: str, known: Sequence[str]) -> str:
    """Return the end of a sentence that says why nothing stands for an old path, or which known paths are like it."""
    from anyspace.errors import near, nearest  # here: a file that imports old names loads nothing that it does not use

    if reason := reason_of(path):
        return f": {reason}."
    # Long paths are alike anyhow: their last parts have to be.
    last = path.rpartition(".")[2]
    alike = {*near(last, {one.rpartition(".")[2] for one in known}), last}
    return f".{nearest(path, [one for one in known if one.rpartition('.')[2] in alike])}"
