"""The module paths of RLlib's old stack: to port a model file, write ``anyspace.rllib`` for ``ray.rllib``.

Nothing is defined here. `PATHS` says which names a path had and where they live in anyspace. The module of a path is
made when it is first imported, and a name is looked up when it is used. `docs/porting.md` says what to expect.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from anyspace._rllib import refused, releases, tensorflow_names

__path__: list[str] = []

_RLLIB = "anyspace._rllib.common"
_ARRAYS = "anyspace._rllib.arrays"
_BATCHES = "anyspace._rllib.sample_batch"
_BUILDER = "anyspace._rllib.sample_batch_builder"
_CALLBACKS = "anyspace._rllib.callbacks"
_CATALOG = "anyspace._rllib.catalog"
_CONFIGS = "anyspace._rllib.builder"
_MODEL_CONFIG = "anyspace.models.config"
_CONTEXT = "anyspace.data.env_context"
_ENVIRONMENTS = "anyspace._rllib.environments"
_FILTERS = "anyspace._rllib.filters"
_HELPERS = "anyspace._rllib.helpers"
_OFFLINE = "anyspace._rllib.offline"
_POSTPROCESSING = "anyspace._rllib.postprocessing"
_SCHEDULES = "anyspace._rllib.schedules"
_SEQUENCES = "anyspace._rllib.sequencing"
_SPACES = "anyspace._rllib.space_utils"
_ACTIVATIONS = "anyspace._rllib.activations"
_ALGORITHMS = "anyspace._rllib.algorithms"
_DISTRIBUTIONS = "anyspace.distributions"
_LAYERS = "anyspace._rllib.torch.layers"
_GRADIENTS = "anyspace._rllib.torch.gradients"
_MODULES = "anyspace._rllib.torch.modules"
_TENSORS = "anyspace._rllib.torch.tensors"
_TF = "anyspace._rllib.tensorflow"
_REFUSED = "refused"
_PREPROCESSORS = (
    "NoPreprocessor OneHotPreprocessor AtariRamPreprocessor GenericPixelPreprocessor"
    " DictFlatteningPreprocessor TupleFlatteningPreprocessor RepeatedValuesPreprocessor"
)

_OWN_FILES = {
    f"algorithms.{path}": {
        _ALGORITHMS: f"{name} {name}Trainer={name}",
        _CONFIGS: f"{name}Config",
        releases.DEFAULTS: f"DEFAULT_CONFIG={name}_DEFAULT_CONFIG",
    }
    for name in ("A2C", "APPO", "BC", "DQN", "MARWIL", "PG", "PPO", "SAC")
    for path in (name.lower(), f"{name.lower()}.{name.lower()}")
}
"""Algorithms with files of the same names."""
_IMPALA = {
    path: {
        _ALGORITHMS: "IMPALA Impala=IMPALA ImpalaTrainer=IMPALA",
        _CONFIGS: "IMPALAConfig ImpalaConfig=IMPALAConfig",
        releases.DEFAULTS: "DEFAULT_CONFIG=IMPALA_DEFAULT_CONFIG",
    }
    for path in ("algorithms.impala", "algorithms.impala.impala")
}

PATHS: dict[str, dict[str, str]] = {
    **_OWN_FILES,
    **_IMPALA,
    "": {_BATCHES: "SampleBatch"},
    "algorithms": {
        _ALGORITHMS: "A2C APPO Algorithm BC DQN IMPALA Impala=IMPALA MARWIL PG PPO SAC",
        _CONFIGS: (
            "A2CConfig APPOConfig AlgorithmConfig BCConfig DQNConfig IMPALAConfig ImpalaConfig=IMPALAConfig"
            " MARWILConfig PGConfig PPOConfig SACConfig"
        ),
    },
    "algorithms.algorithm": {_ALGORITHMS: "Algorithm Trainer=Algorithm"},
    "algorithms.algorithm_config": {_CONFIGS: "AlgorithmConfig"},
    "algorithms.callbacks": {_CALLBACKS: "DefaultCallbacks make_multi_callbacks"},
    "algorithms.dqn.distributional_q_tf_model": {_TF: "DistributionalQTFModel"},
    "algorithms.dqn.dqn_torch_model": {"anyspace.models.torch.dqn_model": "DQNTorchModel"},
    "algorithms.sac.sac_tf_model": {_TF: "SACTFModel"},
    "algorithms.sac.sac_torch_model": {"anyspace.models.torch.sac_model": "SACTorchModel"},
    "env": {_CONTEXT: "EnvContext", _ENVIRONMENTS: "DMCEnv DMEnv"},
    "env.apis": {},
    "env.apis.task_settable_env": {_ENVIRONMENTS: "TaskSettableEnv"},
    "env.env_context": {_CONTEXT: "EnvContext"},
    "env.wrappers": {},
    "env.wrappers.atari_wrappers": {
        "anyspace.data.atari": (
            "ClipRewardEnv=ClipReward EpisodicLifeEnv=EpisodicLife FireResetEnv=FireReset MaxAndSkipEnv=MaxAndSkip"
            " NoopResetEnv=NoopReset NormalizedImageEnv=NormalizedImage WarpFrame"
        ),
        _ENVIRONMENTS: (
            "FrameStack FrameStackTrajectoryView MonitorEnv get_wrapper_by_cls is_atari wrap_atari_for_new_api_stack"
            " wrap_deepmind"
        ),
    },
    "env.wrappers.dm_control_wrapper": {_ENVIRONMENTS: "DMCEnv"},
    "env.wrappers.dm_env_wrapper": {_ENVIRONMENTS: "DMEnv"},
    "env.wrappers.exception_wrapper": {_ENVIRONMENTS: "ResetOnExceptionWrapper TooManyResetAttemptsException"},
    "evaluation": {_BATCHES: "SampleBatch", _BUILDER: "SampleBatchBuilder", _POSTPROCESSING: "compute_advantages"},
    "evaluation.postprocessing": {
        _POSTPROCESSING: "Postprocessing adjust_nstep compute_advantages",
        "anyspace.maths": "discount=discounted_cumsum discount_cumsum=discounted_cumsum",
    },
    "evaluation.sample_batch_builder": {_BUILDER: "SampleBatchBuilder"},
    "models": {
        "anyspace.models": "MODEL_DEFAULTS ModelV2",
        _CATALOG: "ModelCatalog",
        _DISTRIBUTIONS: "ActionDistribution",
        "anyspace._rllib.preprocessors": "Preprocessor",
    },
    "models.action_dist": {_DISTRIBUTIONS: "ActionDistribution"},
    "models.catalog": {
        "anyspace.models": "MODEL_DEFAULTS",
        _CATALOG: "ModelCatalog",
        _MODEL_CONFIG: "DEPRECATED_VALUE",
    },
    "models.modelv2": {
        "anyspace.models": "ModelV2",
        "anyspace.spaces": "restore_original_dimensions",
        _TENSORS: "flatten",
    },
    "models.preprocessors": {
        "anyspace._rllib.preprocessors": (
            "ATARI_OBS_SHAPE ATARI_RAM_OBS_SHAPE OBS_VALIDATION_INTERVAL Preprocessor get_preprocessor"
        ),
        "anyspace.spaces": f"MultiBinaryPreprocessor=NoPreprocessor {_PREPROCESSORS}",
    },
    "models.repeated_values": {"anyspace.spaces": "RepeatedValues"},
    "models.tf": {_TF: "FullyConnectedNetwork RecurrentNetwork TFModelV2 VisionNetwork"},
    "models.tf.layers": {_TF: "GRUGate MultiHeadAttention NoisyLayer RelativeMultiHeadAttention SkipConnection"},
    **{f"models.tf.layers.{file}": {_TF: found} for file, found in tensorflow_names.LAYERS.items()},
    "models.tf.attention_net": {_TF: "AttentionWrapper GTrXLNet"},
    "models.tf.complex_input_net": {_TF: "ComplexInputNetwork"},
    "models.tf.fcnet": {_TF: "FullyConnectedNetwork"},
    "models.tf.misc": {_TF: "conv2d flatten get_activation_fn linear normc_initializer"},
    "models.tf.recurrent_net": {_TF: "LSTMWrapper RecurrentNetwork"},
    "models.tf.tf_action_dist": {
        _TF: (
            "Beta Categorical Deterministic DiagGaussian Dirichlet GumbelSoftmax MultiCategorical SquashedGaussian"
            " MultiActionDistribution SlateMultiCategorical TFActionDistribution get_categorical_class_with_temperature"
        ),
        _ARRAYS: "MAX_LOG_NN_OUTPUT MIN_LOG_NN_OUTPUT SMALL_NUMBER",
        _DISTRIBUTIONS: "ActionDistribution",
    },
    "models.tf.tf_modelv2": {_TF: "TFModelV2"},
    "models.tf.visionnet": {_TF: "VisionNetwork"},
    "models.torch": {"anyspace.models.torch": "FullyConnectedNetwork RecurrentNetwork TorchModelV2 VisionNetwork"},
    "models.torch.attention_net": {"anyspace.models.torch": "AttentionWrapper GTrXLNet"},
    "models.torch.complex_input_net": {"anyspace.models.torch": "ComplexInputNetwork"},
    "models.torch.fcnet": {"anyspace.models.torch": "FullyConnectedNetwork"},
    "models.torch.misc": {
        _LAYERS: (
            "AppendBiasLayer Reshape SlimConv2d SlimFC normc_initializer same_padding"
            " same_padding_transpose_after_stride valid_padding"
        )
    },
    "models.torch.modules": {
        _MODULES: "GRUGate MultiHeadAttention NoisyLayer RelativeMultiHeadAttention SkipConnection"
    },
    "models.torch.modules.convtranspose2d_stack": {_MODULES: "ConvTranspose2DStack"},
    "models.torch.modules.gru_gate": {_MODULES: "GRUGate"},
    "models.torch.modules.multi_head_attention": {_MODULES: "MultiHeadAttention"},
    "models.torch.modules.noisy_layer": {_MODULES: "NoisyLayer"},
    "models.torch.modules.relative_multi_head_attention": {
        _MODULES: "RelativeMultiHeadAttention RelativePositionEmbedding"
    },
    "models.torch.modules.skip_connection": {_MODULES: "SkipConnection"},
    "models.torch.noop": {_LAYERS: "TorchNoopModel"},
    "models.torch.recurrent_net": {"anyspace.models.torch": "RecurrentNetwork LSTMWrapper=RecurrentWrapper"},
    "models.torch.torch_action_dist": {
        "anyspace._rllib.torch.dists": (
            "TorchBernoulli TorchBeta TorchCategorical TorchDeterministic TorchDiagGaussian TorchDirichlet"
            " TorchDistributionWrapper TorchGumbelSoftmax TorchMultiActionDistribution TorchMultiCategorical"
            " TorchSlateMultiCategorical TorchSquashedGaussian get_torch_categorical_class_with_temperature"
        ),
        _ARRAYS: "MAX_LOG_NN_OUTPUT MIN_LOG_NN_OUTPUT SMALL_NUMBER",
        _DISTRIBUTIONS: "ActionDistribution",
    },
    "models.torch.torch_modelv2": {"anyspace.models": "TorchModelV2"},
    "models.torch.visionnet": {"anyspace.models.torch": "VisionNetwork"},
    "models.utils": {
        _ACTIVATIONS: "get_activation_fn",
        _LAYERS: "get_filter_config get_initializer get_initializer_fn",
    },
    "offline": {
        _OFFLINE: "IOContext InputReader JsonReader JsonWriter MixedInput NoopOutput OutputWriter ShuffledInput"
    },
    "offline.input_reader": {_OFFLINE: "InputReader"},
    "offline.io_context": {_OFFLINE: "IOContext"},
    "offline.json_reader": {_OFFLINE: "JsonReader from_json_data"},
    "offline.json_writer": {_OFFLINE: "JsonWriter"},
    "offline.mixed_input": {_OFFLINE: "MixedInput"},
    "offline.output_writer": {_OFFLINE: "NoopOutput OutputWriter"},
    "offline.shuffled_input": {_OFFLINE: "ShuffledInput"},
    "policy": {},
    "policy.rnn_sequencing": {
        _SEQUENCES: "chop_into_sequences pad_batch_to_sequences_of_same_size",
        _TENSORS: "add_time_dimension get_fold_unfold_fns",
    },
    "policy.sample_batch": {
        _BATCHES: (
            "DEFAULT_POLICY_ID SampleBatch attempt_count_timesteps concat_samples convert_ma_batch_to_sample_batch"
        )
    },
    "policy.view_requirement": {"anyspace.models": "ViewRequirement"},
    "utils": {
        _ARRAYS: (
            "LARGE_INTEGER MAX_LOG_NN_OUTPUT MIN_LOG_NN_OUTPUT SMALL_NUMBER fc lstm one_hot relu sigmoid softmax"
        ),
        _FILTERS: "Filter",
        _HELPERS: ("NullContextManager add_mixins deep_update deprecation_warning force_list force_tuple merge_dicts"),
        _LAYERS: "try_import_torch",
        _RLLIB: "DeveloperAPI=api PublicAPI=api override try_import_jax try_import_tf try_import_tfp",
        _SCHEDULES: "ConstantSchedule ExponentialSchedule LinearSchedule PiecewiseSchedule PolynomialSchedule",
    },
    "utils.annotations": {
        _RLLIB: (
            "DeveloperAPI=api ExperimentalAPI=api OldAPIStack=api OverrideToImplementCustomLogic=api"
            " OverrideToImplementCustomLogic_CallToSuperRecommended=api PublicAPI=api is_overridden override"
        ),
        _HELPERS: "Deprecated",
    },
    "utils.debug": {_HELPERS: "summarize update_global_seed_if_necessary"},
    "utils.debug.deterministic": {_HELPERS: "update_global_seed_if_necessary"},
    "utils.debug.summary": {_HELPERS: "summarize"},
    "utils.deprecation": {_MODEL_CONFIG: "DEPRECATED_VALUE", _HELPERS: "Deprecated deprecation_warning"},
    "utils.error": {
        "anyspace.errors": (
            "EnvError=EnvironmentSetupError MultiAgentEnvError=EnvironmentSetupError"
            " UnsupportedSpaceException=UnsupportedSpaceError"
        ),
        _HELPERS: (
            "ERR_MSG_INVALID_ENV_DESCRIPTOR ERR_MSG_NO_GPUS ERR_MSG_OLD_GYM_API HOWTO_CHANGE_CONFIG NotSerializable"
        ),
    },
    "utils.filter": {
        _ARRAYS: "SMALL_NUMBER",
        _FILTERS: "ConcurrentMeanStdFilter Filter MeanStdFilter NoFilter RunningStat get_filter",
    },
    "utils.framework": {
        _RLLIB: (
            "TensorShape=TensorType TensorStructType=TensorType TensorType tf_function try_import_jax try_import_tf"
            " try_import_tfp"
        ),
        _ACTIVATIONS: "get_activation_fn",
        _LAYERS: "try_import_torch",
        _TENSORS: "convert_to_tensor get_variable",
    },
    "utils.images": {_ARRAYS: "imread is_package_installed resize rgb2gray"},
    "utils.lambda_defaultdict": {_HELPERS: "LambdaDefaultDict"},
    "utils.numpy": {
        _ARRAYS: (
            "LARGE_INTEGER MAX_LOG_NN_OUTPUT MIN_LOG_NN_OUTPUT SMALL_NUMBER fc flatten_inputs_to_1d_tensor huber_loss"
            " l2_loss lstm make_action_immutable one_hot one_hot_multidiscrete relu sigmoid softmax"
        ),
        _TENSORS: "convert_to_numpy",
    },
    "utils.schedules": {
        _SCHEDULES: "ConstantSchedule ExponentialSchedule LinearSchedule PiecewiseSchedule PolynomialSchedule Schedule"
    },
    "utils.schedules.constant_schedule": {_SCHEDULES: "ConstantSchedule"},
    "utils.schedules.exponential_schedule": {_SCHEDULES: "ExponentialSchedule"},
    "utils.schedules.linear_schedule": {_SCHEDULES: "LinearSchedule"},
    "utils.schedules.piecewise_schedule": {_SCHEDULES: "PiecewiseSchedule"},
    "utils.schedules.polynomial_schedule": {_SCHEDULES: "PolynomialSchedule"},
    "utils.schedules.schedule": {_SCHEDULES: "Schedule"},
    "utils.spaces": {},
    "utils.spaces.flexdict": {_SPACES: "FlexDict"},
    "utils.spaces.repeated": {"anyspace.spaces": "Repeated"},
    "utils.spaces.simplex": {"anyspace.spaces": "Simplex"},
    "utils.spaces.space_utils": {
        _SPACES: (
            "BatchedNdArray batch clip_action convert_element_to_space_type flatten_space flatten_to_single_ndarray"
            " from_jsonable_if_needed get_base_struct_from_space get_dummy_batch_for_space get_original_space"
            " is_composite_space normalize_action to_jsonable_if_needed unbatch unsquash_action"
        )
    },
    "utils.tensor_dtype": {_TENSORS: "get_np_dtype numpy_to_torch_dtype_dict torch_to_numpy_dtype_dict"},
    "utils.tf_utils": {_TF: tensorflow_names.FUNCTIONS},
    "utils.threading": {_HELPERS: "with_lock"},
    "utils.torch_utils": {
        _ARRAYS: "SMALL_NUMBER",
        _TENSORS: (
            "FLOAT_MAX FLOAT_MIN convert_to_torch_tensor copy_torch_tensors explained_variance"
            " flatten_inputs_to_1d_tensor huber_loss l2_loss one_hot reduce_mean_ignore_inf sequence_mask"
            " softmax_cross_entropy_with_logits"
        ),
        _GRADIENTS: (
            "apply_grad_clipping clip_gradients compute_global_norm global_norm minimize_and_clip set_torch_seed"
            " update_target_network warn_if_infinite_kl_divergence"
        ),
    },
    "utils.typing": {
        _RLLIB: (
            "AgentID=TensorType AgentToModuleMappingFn=TensorType AlgorithmConfigDict=DictType"
            " ConvFilterSpec=TensorType EnvActionType=TensorType EnvConfigDict=DictType EnvCreator=TensorType"
            " EnvID=TensorType EnvInfoDict=DictType EnvObsType=TensorType EnvType=TensorType EpisodeID=TensorType"
            " EpisodeType=TensorType FileType=TensorType FromConfigSpec=TensorType GradInfoDict=DictType"
            " IsPolicyToTrain=TensorType LearnerStatsDict=DictType LearningRateOrSchedule=TensorType"
            " LocalOptimizer=TensorType ModelConfigDict=DictType ModelGradients=TensorType ModelInputDict=DictType"
            " ModelWeights=DictType ModuleID=Name MultiAgentDict=DictType MultiAgentPolicyConfigDict=DictType"
            " MultiEnvDict=DictType NetworkType=TensorType Optimizer=TensorType Param=TensorType ParamDict=DictType"
            " ParamList=TensorType ParamRef=TensorType PartialAlgorithmConfigDict=DictType"
            " PartialTrainerConfigDict=DictType PolicyID=Name PolicyOutputType=TensorType PolicyState=DictType"
            " RLModuleSpecType=TensorType ResultDict=DictType SampleBatchType=TensorType"
            " ShouldModuleBeUpdatedFn=TensorType SpaceStruct=TensorType StateBatches=TensorType StateDict=DictType"
            " TFPolicyV2Type=TensorType TrainerConfigDict=DictType TensorShape=TensorType TensorStructType=TensorType"
            " TensorType UnrollID=TensorType ViewRequirementsDict=DictType"
        ),
        "typing": "Any Callable Dict Hashable List Optional Sequence Tuple Type Union",
    },
}
"""Old path below ``ray.rllib`` -> module of anyspace -> names in it; ``old=new`` where the name has changed."""

MOVED = {**{path.replace("algorithms", "agents"): path for path in (*_OWN_FILES, *_IMPALA)}, **releases.MOVED}
"""Paths of releases before 2.40 -> where their names lie in it."""

for _path in refused.NAMES:
    PATHS.setdefault(_path, {})
for _path, _more in releases.MORE.items():
    PATHS[_path] = {**PATHS.get(MOVED.pop(_path, _path), {}), **_more}
PATHS.update({old: PATHS[new] for old, new in MOVED.items()})


def names(path: str) -> dict[str, tuple[str, str]]:
    """Return the names of an old path, each with the module that has it and its name there.

    Names that nothing stands for have the module ``"refused"``, and the reason for a name.
    """
    found = {}
    for home, listed in PATHS[path].items():
        for entry in listed.split():
            old, _, new = entry.partition("=")
            found[old] = home, new or old
    for reason, listed in refused.NAMES.get(MOVED.get(path, path), {}).items():
        found |= dict.fromkeys(listed.split(), (_REFUSED, reason))
    return found


class _Finder:
    """Makes the modules below this one."""

    @staticmethod
    def find_spec(fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not fullname.startswith(f"{__name__}."):
            return None
        if fullname.removeprefix(f"{__name__}.") not in PATHS:
            # Were the name in the error, `from ... import` would show a text of its own instead of this one.
            raise ModuleNotFoundError(_unknown(fullname))
        return ModuleSpec(fullname, _Finder, is_package=True)  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        return None

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        path = module.__name__.removeprefix(f"{__name__}.")
        module.__doc__ = f"The names of ``ray.rllib.{path}`` that anyspace has."
        vars(module).update(__all__=[*names(path)], __getattr__=partial(_resolved, path))


def _resolved(path: str, name: str) -> Any:
    """Return a name, or a module, below an old path."""
    below = f"{path}.{name}".removeprefix(".")
    if below in PATHS:
        return import_module(f"{__name__}.{below}")
    homes = names(path)
    if name not in homes:
        module = f"{__name__}.{path}".removesuffix(".")
        raise AttributeError(f"module {module!r} has no attribute {name!r}; it has {', '.join(homes) or 'none'}")
    home, new = homes[name]
    import_module("anyspace._rllib.numpy_names").restore()
    return refused.stand_in(name, new) if home == _REFUSED else getattr(import_module(home), new)


def _unknown(fullname: str) -> str:
    below = fullname.removeprefix(f"{__name__}.")
    why = refused.why_unknown(below, [*PATHS, *(f"{path}.{name}" for path in PATHS for name in names(path))])
    return f"nothing in anyspace stands for ray.rllib.{below}{why} docs/reference/rllib-names.md lists what does."


def __getattr__(name: str) -> Any:
    return _resolved("", name)


sys.meta_path.append(_Finder)
