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

__path__: list[str] = []

_RLLIB = "anyspace._rllib"
_ALGORITHMS = "anyspace._rllib_algorithms"
_DISTRIBUTIONS = "anyspace.distributions"
_LAYERS = "anyspace.models.torch.compat"
_PLACEHOLDERS = "anyspace.models.placeholders"
_PREPROCESSORS = (
    "Preprocessor NoPreprocessor OneHotPreprocessor AtariRamPreprocessor GenericPixelPreprocessor"
    " DictFlatteningPreprocessor TupleFlatteningPreprocessor RepeatedValuesPreprocessor"
)

PATHS: dict[str, dict[str, str]] = {
    "": {_RLLIB: "SampleBatch"},
    "algorithms": {"anyspace.algorithms": "Algorithm", _RLLIB: "PPOConfig"},
    "algorithms.algorithm": {"anyspace.algorithms": "Algorithm"},
    "algorithms.dqn": {},
    "algorithms.dqn.distributional_q_tf_model": {_PLACEHOLDERS: "DistributionalQTFModel=TFModelV2"},
    "algorithms.dqn.dqn_torch_model": {"anyspace.models.torch.dqn_model": "DQNTorchModel"},
    "algorithms.ppo": {_ALGORITHMS: "PPO", _RLLIB: "PPOConfig"},
    "algorithms.ppo.ppo": {_ALGORITHMS: "PPO", _RLLIB: "PPOConfig"},
    "algorithms.sac": {},
    "algorithms.sac.sac_tf_model": {_PLACEHOLDERS: "SACTFModel=TFModelV2"},
    "algorithms.sac.sac_torch_model": {"anyspace.models.torch.sac_model": "SACTorchModel"},
    "env": {_RLLIB: "EnvContext"},
    "env.env_context": {_RLLIB: "EnvContext"},
    "env.wrappers": {},
    "env.wrappers.atari_wrappers": {
        "anyspace.data.atari": (
            "is_atari ClipRewardEnv=ClipReward EpisodicLifeEnv=EpisodicLife FireResetEnv=FireReset FrameStack"
            " MaxAndSkipEnv=MaxAndSkip NoopResetEnv=NoopReset NormalizedImageEnv=NormalizedImage WarpFrame"
        ),
        _RLLIB: "wrap_deepmind",
    },
    "evaluation": {},
    "evaluation.postprocessing": {
        _RLLIB: "Postprocessing",
        "anyspace.maths": "discount_cumsum=discounted_cumsum",
    },
    "models": {
        "anyspace.models": "MODEL_DEFAULTS ModelCatalog ModelV2",
        _DISTRIBUTIONS: "ActionDistribution",
        "anyspace.spaces": "Preprocessor",
    },
    "models.action_dist": {_DISTRIBUTIONS: "ActionDistribution"},
    "models.catalog": {"anyspace.models": "MODEL_DEFAULTS ModelCatalog"},
    "models.modelv2": {"anyspace.models": "ModelV2", "anyspace.spaces": "restore_original_dimensions"},
    "models.preprocessors": {_RLLIB: "get_preprocessor", "anyspace.spaces": _PREPROCESSORS},
    "models.repeated_values": {"anyspace.spaces": "RepeatedValues"},
    "models.tf": {_PLACEHOLDERS: "TFModelV2"},
    "models.tf.attention_net": {_PLACEHOLDERS: "AttentionWrapper=TFModelV2 GTrXLNet=TFModelV2"},
    "models.tf.complex_input_net": {_PLACEHOLDERS: "ComplexInputNetwork=TFModelV2"},
    "models.tf.fcnet": {_PLACEHOLDERS: "FullyConnectedNetwork=TFModelV2"},
    "models.tf.misc": {_LAYERS: "normc_initializer"},
    "models.tf.recurrent_net": {_PLACEHOLDERS: "LSTMWrapper=TFModelV2 RecurrentNetwork=TFModelV2"},
    "models.tf.tf_action_dist": {
        _PLACEHOLDERS: (
            "Beta=TFActionDistribution Categorical=TFActionDistribution Deterministic=TFActionDistribution"
            " DiagGaussian=TFActionDistribution Dirichlet=TFActionDistribution GumbelSoftmax=TFActionDistribution"
            " MultiActionDistribution=TFActionDistribution MultiCategorical=TFActionDistribution"
            " SlateMultiCategorical=TFActionDistribution SquashedGaussian=TFActionDistribution TFActionDistribution"
        ),
        _DISTRIBUTIONS: "ActionDistribution",
    },
    "models.tf.tf_modelv2": {_PLACEHOLDERS: "TFModelV2"},
    "models.tf.visionnet": {_PLACEHOLDERS: "VisionNetwork=TFModelV2"},
    "models.torch": {},
    "models.torch.attention_net": {"anyspace.models.torch": "AttentionWrapper GTrXLNet"},
    "models.torch.complex_input_net": {"anyspace.models.torch": "ComplexInputNetwork"},
    "models.torch.fcnet": {"anyspace.models.torch": "FullyConnectedNetwork"},
    "models.torch.misc": {_LAYERS: "AppendBiasLayer Reshape SlimConv2d SlimFC normc_initializer same_padding"},
    "models.torch.recurrent_net": {"anyspace.models.torch": "RecurrentNetwork LSTMWrapper=RecurrentWrapper"},
    "models.torch.torch_action_dist": {
        "anyspace.models.torch.compat_dists": (
            "TorchBeta TorchCategorical TorchDistributionWrapper TorchMultiCategorical TorchSquashedGaussian"
        ),
        _DISTRIBUTIONS: (
            "ActionDistribution TorchBernoulli=Bernoulli TorchDeterministic=Deterministic"
            " TorchDiagGaussian=DiagGaussian TorchDirichlet=Dirichlet TorchGumbelSoftmax=GumbelSoftmax"
            " TorchMultiActionDistribution=MultiActionDistribution TorchSlateMultiCategorical=SlateMultiCategorical"
        ),
    },
    "models.torch.torch_modelv2": {"anyspace.models": "TorchModelV2"},
    "models.torch.visionnet": {"anyspace.models.torch": "VisionNetwork"},
    "models.utils": {_LAYERS: "get_activation_fn"},
    "offline": {_RLLIB: "JsonReader"},
    "offline.json_reader": {_RLLIB: "JsonReader"},
    "policy": {},
    "policy.rnn_sequencing": {_LAYERS: "add_time_dimension"},
    "policy.sample_batch": {_RLLIB: "DEFAULT_POLICY_ID SampleBatch"},
    "policy.view_requirement": {"anyspace.models": "ViewRequirement"},
    "utils": {
        _RLLIB: "DeveloperAPI=api PublicAPI=api override try_import_tf try_import_tfp",
        _LAYERS: "try_import_torch",
    },
    "utils.annotations": {_RLLIB: "DeveloperAPI=api ExperimentalAPI=api OldAPIStack=api PublicAPI=api override"},
    "utils.framework": {
        _RLLIB: "TensorType try_import_jax try_import_tf try_import_tfp",
        _LAYERS: "get_activation_fn try_import_torch",
    },
    "utils.numpy": {
        _RLLIB: "MAX_LOG_NN_OUTPUT MIN_LOG_NN_OUTPUT SMALL_NUMBER one_hot relu sigmoid softmax",
        _LAYERS: "convert_to_numpy",
    },
    "utils.spaces": {},
    "utils.spaces.repeated": {"anyspace.spaces": "Repeated"},
    "utils.spaces.simplex": {"anyspace.spaces": "Simplex"},
    "utils.torch_utils": {
        _LAYERS: (
            "FLOAT_MAX FLOAT_MIN convert_to_torch_tensor huber_loss l2_loss one_hot reduce_mean_ignore_inf"
            " sequence_mask softmax_cross_entropy_with_logits"
        ),
        "anyspace.maths": "explained_variance",
    },
    "utils.typing": {
        _RLLIB: (
            "AgentID=Name AlgorithmConfigDict=DictType EnvConfigDict=DictType ModelConfigDict=DictType"
            " ModelWeights=DictType PolicyID=Name SpaceStruct=TensorType TensorShape=TensorType"
            " TensorStructType=TensorType TensorType"
        ),
        "typing": "Any Dict List Optional Tuple Union",
    },
}
"""Old path below ``ray.rllib`` -> module of anyspace -> names in it; ``old=new`` where the name has changed."""


def names(path: str) -> dict[str, tuple[str, str]]:
    """Return the names of an old path, each with the module that has it and its name there."""
    found = {}
    for home, listed in PATHS[path].items():
        for entry in listed.split():
            old, _, new = entry.partition("=")
            found[old] = home, new or old
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
    return getattr(import_module(home), new)


def _unknown(fullname: str) -> str:
    from anyspace.errors import nearest

    below = fullname.removeprefix(f"{__name__}.")
    known = [*PATHS, *(f"{path}.{name}" for path in PATHS for name in names(path))]
    return f"nothing in anyspace stands for ray.rllib.{below}.{nearest(below, known)} docs/porting.md lists what does."


def __getattr__(name: str) -> Any:
    return _resolved("", name)


sys.meta_path.append(_Finder)
