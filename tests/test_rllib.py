"""The old module paths, and model files as users of the old stack wrote them."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, Text

import anyspace
from anyspace import distributions, models, rllib, spaces
from anyspace._rllib import algorithms, catalog, refused
from anyspace._rllib.torch import dists, layers, tensors
from anyspace.errors import ModelError
from anyspace.models import placeholders
from anyspace.models import torch as networks

TABLE = {
    "": "SampleBatch",
    "algorithms": "A2C A2CConfig APPO APPOConfig Algorithm AlgorithmConfig BC BCConfig DQN DQNConfig IMPALA"
    " IMPALAConfig Impala ImpalaConfig MARWIL MARWILConfig PG PGConfig PPO PPOConfig SAC SACConfig",
    "algorithms.algorithm": "Algorithm",
    "algorithms.dqn": "DQN DQNConfig",
    "algorithms.dqn.dqn": "DQN DQNConfig",
    "algorithms.dqn.distributional_q_tf_model": "DistributionalQTFModel",
    "algorithms.dqn.dqn_torch_model": "DQNTorchModel",
    "algorithms.a2c": "A2C A2CConfig",
    "algorithms.appo": "APPO APPOConfig",
    "algorithms.impala": "IMPALA IMPALAConfig Impala ImpalaConfig",
    "algorithms.pg": "PG PGConfig",
    "algorithms.ppo": "PPO PPOConfig",
    "algorithms.ppo.ppo": "PPO PPOConfig",
    "algorithms.sac": "SAC SACConfig",
    "algorithms.sac.sac": "SAC SACConfig",
    "algorithms.sac.sac_tf_model": "SACTFModel",
    "algorithms.sac.sac_torch_model": "SACTorchModel",
    "env": "EnvContext",
    "env.env_context": "EnvContext",
    "env.wrappers": "",
    "env.wrappers.atari_wrappers": "ClipRewardEnv EpisodicLifeEnv FireResetEnv FrameStack MaxAndSkipEnv NoopResetEnv"
    " NormalizedImageEnv WarpFrame is_atari wrap_deepmind",
    "evaluation": "",
    "evaluation.postprocessing": "Postprocessing discount_cumsum",
    "models": "ActionDistribution MODEL_DEFAULTS ModelCatalog ModelV2 Preprocessor",
    "models.action_dist": "ActionDistribution",
    "models.catalog": "MODEL_DEFAULTS ModelCatalog",
    "models.modelv2": "ModelV2 restore_original_dimensions",
    "models.preprocessors": "AtariRamPreprocessor DictFlatteningPreprocessor GenericPixelPreprocessor NoPreprocessor"
    " OneHotPreprocessor Preprocessor RepeatedValuesPreprocessor TupleFlatteningPreprocessor get_preprocessor",
    "models.repeated_values": "RepeatedValues",
    "models.tf": "TFModelV2",
    "models.tf.attention_net": "AttentionWrapper GTrXLNet",
    "models.tf.complex_input_net": "ComplexInputNetwork",
    "models.tf.fcnet": "FullyConnectedNetwork",
    "models.tf.misc": "normc_initializer",
    "models.tf.recurrent_net": "LSTMWrapper RecurrentNetwork",
    "models.tf.tf_action_dist": "ActionDistribution Beta Categorical Deterministic DiagGaussian Dirichlet GumbelSoftmax"
    " MultiActionDistribution MultiCategorical SlateMultiCategorical SquashedGaussian TFActionDistribution"
    " get_categorical_class_with_temperature",
    "models.tf.tf_modelv2": "TFModelV2",
    "models.tf.visionnet": "VisionNetwork",
    "models.torch": "",
    "models.torch.attention_net": "AttentionWrapper GTrXLNet",
    "models.torch.complex_input_net": "ComplexInputNetwork",
    "models.torch.fcnet": "FullyConnectedNetwork",
    "models.torch.misc": "AppendBiasLayer Reshape SlimConv2d SlimFC normc_initializer same_padding",
    "models.torch.recurrent_net": "LSTMWrapper RecurrentNetwork",
    "models.torch.torch_action_dist": "ActionDistribution TorchBernoulli TorchBeta TorchCategorical TorchDeterministic"
    " TorchDiagGaussian TorchDirichlet TorchDistributionWrapper TorchGumbelSoftmax TorchMultiActionDistribution"
    " TorchMultiCategorical TorchSlateMultiCategorical TorchSquashedGaussian"
    " get_torch_categorical_class_with_temperature",
    "models.torch.torch_modelv2": "TorchModelV2",
    "models.torch.visionnet": "VisionNetwork",
    "models.utils": "get_activation_fn",
    "offline": "IOContext InputReader JsonReader JsonWriter MixedInput NoopOutput OutputWriter ShuffledInput",
    "offline.json_reader": "JsonReader",
    "policy": "",
    "policy.rnn_sequencing": "add_time_dimension",
    "policy.sample_batch": "DEFAULT_POLICY_ID SampleBatch",
    "policy.view_requirement": "ViewRequirement",
    "utils": "DeveloperAPI PublicAPI override try_import_tf try_import_tfp try_import_torch",
    "utils.annotations": "DeveloperAPI ExperimentalAPI OldAPIStack PublicAPI override",
    "utils.framework": "TensorType get_activation_fn try_import_jax try_import_tf try_import_tfp try_import_torch",
    "utils.numpy": "MAX_LOG_NN_OUTPUT MIN_LOG_NN_OUTPUT SMALL_NUMBER convert_to_numpy one_hot relu sigmoid softmax",
    "utils.spaces": "",
    "utils.spaces.repeated": "Repeated",
    "utils.spaces.simplex": "Simplex",
    "utils.torch_utils": "FLOAT_MAX FLOAT_MIN convert_to_torch_tensor explained_variance huber_loss l2_loss one_hot"
    " reduce_mean_ignore_inf sequence_mask softmax_cross_entropy_with_logits",
    "utils.typing": "AgentID AlgorithmConfigDict Any Dict EnvConfigDict List ModelConfigDict ModelWeights Optional"
    " PolicyID SpaceStruct TensorShape TensorStructType TensorType Tuple Union",
}
"""Old path -> the names that files import from it. A name may be added here; none may go."""


def module(path: str) -> Any:
    return importlib.import_module(f"anyspace.rllib.{path}".removesuffix("."))


# ------------------------------------------------------------------------------------------------ table


def test_no_name_has_gone():
    for path, names in TABLE.items():
        assert rllib.names(path).keys() >= set(names.split()), path
    for path in rllib.PATHS:
        assert path.rpartition(".")[0] in rllib.PATHS, path


def test_paths_of_older_releases_lead_to_the_same_names():
    for old, new in rllib.MOVED.items():
        assert rllib.names(old) == rllib.names(new), old
    assert module("utils.torch_ops").one_hot is module("utils.torch_utils").one_hot
    assert module("models.extra_spaces").Simplex is spaces.Simplex


def test_the_page_of_names_lists_them_all():
    page = (Path(__file__).parent.parent / "docs" / "reference" / "rllib-names.md").read_text()
    rows = {
        path.strip("`"): set(re.findall(r"`(\w+)`", names))
        for path, names in re.findall(r"\| (\S+) \| (.*) \|", page.partition("## Names that only explain")[0])
    }
    for path in set(rllib.PATHS) - set(rllib.MOVED):
        offered = {name for name, (home, _) in rllib.names(path).items() if home != "refused"}
        assert rows.get(path or "(itself)", set()) == offered, path
    for old, new in rllib.MOVED.items():
        assert f"| `{old}` | `{new}` |" in page


def test_the_page_of_names_lists_the_refused_ones_with_their_reasons():
    page = (Path(__file__).parent.parent / "docs" / "reference" / "rllib-names.md").read_text()
    explained = page.partition("## Names that only explain")[2]
    listed = {
        reason: set(re.findall(r"`([\w.]+)`", names))
        for names, reason in re.findall(r"^\| (`.*`) \| (.*) \|$", explained, re.M)
    }
    anywhere = {name for path in rllib.PATHS for name, (home, _) in rllib.names(path).items() if home != "refused"}
    expected: dict[str, set[str]] = {}
    for path, reasons in refused.NAMES.items():
        for reason, names in reasons.items():
            named = {f"{path}.{name}" if name in anywhere else name for name in names.split()}
            expected.setdefault(refused.REASONS[reason], set()).update(named)
    assert listed == expected


@pytest.mark.parametrize("path", TABLE)
def test_every_name_resolves(path):
    for name in TABLE[path].split():
        assert getattr(module(path), name) is not None
        assert getattr(module(path), name) is getattr(module(path), name)


def test_names_are_those_of_anyspace():
    from anyspace._rllib.tf import keras_networks

    found = {
        "algorithms.impala.Impala": algorithms.IMPALA,
        "algorithms.ppo.PPO": algorithms.PPO,
        "models.action_dist.ActionDistribution": distributions.ActionDistribution,
        "models.catalog.ModelCatalog": catalog.ModelCatalog,
        "models.catalog.MODEL_DEFAULTS": models.MODEL_DEFAULTS,
        "models.modelv2.ModelV2": models.ModelV2,
        "models.modelv2.restore_original_dimensions": spaces.restore_original_dimensions,
        "models.repeated_values.RepeatedValues": spaces.RepeatedValues,
        "models.tf.fcnet.FullyConnectedNetwork": keras_networks.FullyConnectedNetwork,
        "models.tf.tf_modelv2.TFModelV2": models.TFModelV2,
        "models.torch.attention_net.GTrXLNet": models.GTrXLNet,
        "models.torch.fcnet.FullyConnectedNetwork": models.FullyConnectedNetwork,
        "models.torch.recurrent_net.LSTMWrapper": networks.RecurrentWrapper,
        "models.torch.recurrent_net.RecurrentNetwork": models.RecurrentNetwork,
        "models.torch.torch_action_dist.TorchDiagGaussian": dists.TorchDiagGaussian,
        "models.torch.torch_modelv2.TorchModelV2": models.TorchModelV2,
        "policy.view_requirement.ViewRequirement": models.ViewRequirement,
        "utils.spaces.repeated.Repeated": spaces.Repeated,
        "utils.spaces.simplex.Simplex": spaces.Simplex,
        "utils.torch_utils.FLOAT_MIN": tensors.FLOAT_MIN,
    }
    for place, thing in found.items():
        path, _, name = place.rpartition(".")
        assert getattr(module(path), name) is thing, place


# --------------------------------------------------------------------------------------- ways to import


def test_the_ways_to_import():
    import anyspace.rllib.algorithms.ppo as by_alias
    from anyspace.rllib import models as package
    from anyspace.rllib.algorithms import ppo as by_parent
    from anyspace.rllib.models import ModelCatalog, ModelV2
    from anyspace.rllib.models.torch import fcnet

    assert by_alias is by_parent is anyspace.rllib.algorithms.ppo
    assert by_alias.PPO is algorithms.PPO
    assert issubclass(algorithms.PPO, anyspace.PPO)
    assert package.catalog.ModelCatalog is ModelCatalog is catalog.ModelCatalog
    assert issubclass(ModelCatalog, models.ModelCatalog)
    assert ModelV2 is models.ModelV2
    assert fcnet.FullyConnectedNetwork is models.FullyConnectedNetwork
    assert anyspace.rllib.utils.spaces.repeated.Repeated is spaces.Repeated
    everything = {}
    exec("from anyspace.rllib.models.torch.misc import *", everything)
    assert everything["SlimFC"] is layers.SlimFC


@pytest.mark.parametrize(
    ("statement", "hint"),
    [
        ("from anyspace.rllib.models.torch.misc import SlimFc", "Did you mean 'models.torch.misc.SlimFC'?"),
        ("import anyspace.rllib.models.misc", "Did you mean one of 'models.tf.misc', 'models.torch.misc'?"),
        ("import anyspace.rllib.utils.tracking_dict", "ray.rllib.utils.tracking_dict. docs/reference"),
        ("import anyspace.rllib.models.torch.fcnets", "'models.torch.fcnet'"),
        (
            "from anyspace.rllib.env import MultiAgentEnvs",
            "nothing in anyspace stands for ray.rllib.env",
        ),
        ("from anyspace.rllib import nothing_like_it", "docs/reference/rllib-names.md lists what does"),
    ],
)
def test_what_is_not_there_is_an_import_error_that_says_so(statement, hint):
    with pytest.raises(ImportError) as caught:
        exec(statement)
    assert hint in str(caught.value)


def test_attributes_that_are_not_there():
    with pytest.raises(
        AttributeError, match=r"module 'anyspace.rllib.algorithms.ppo' has no attribute 'PPOLearner'; it has"
    ):
        module("algorithms.ppo").PPOLearner  # noqa: B018
    assert not hasattr(rllib, "__wrapped__")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_costs_next_to_nothing():
    heavy = "[name for name in ('torch', 'numpy', 'gymnasium', 'anyspace.errors') if name in sys.modules]"
    assert run(f"import sys, anyspace; print('anyspace.rllib' in sys.modules, {heavy})") == "False []"
    modules = "anyspace.rllib.algorithms.ppo, anyspace.rllib.models.torch.fcnet"
    assert run(f"import sys, {modules}; print({heavy})") == "[]"


def test_annotations_and_columns_bring_in_no_framework():
    code = (
        "import sys\n"
        "from anyspace.rllib.policy.sample_batch import SampleBatch\n"
        "from anyspace.rllib.utils.annotations import override\n"
        "from anyspace.rllib.models.tf.tf_modelv2 import TFModelV2\n"
        "print('torch' in sys.modules)"
    )
    assert run(code) == "False"


# ---------------------------------------------------------------------------------------- placeholders


@pytest.fixture
def no_tensorflow(monkeypatch):
    monkeypatch.setattr("anyspace._rllib.tensorflow.is_installed", lambda: False)
    monkeypatch.setattr("anyspace.models.find_spec", lambda name: None)


def test_tensorflow_models_can_be_defined_and_not_built(no_tensorflow):
    assert models.TFModelV2 is placeholders.TFModelV2
    from anyspace.rllib.models.tf.recurrent_net import RecurrentNetwork

    class Keras(RecurrentNetwork):
        def __init__(self, obs_space, action_space, num_outputs, model_config, name, cells=4):
            self.cells = undefined  # noqa: F821

    arguments = (Box(-1, 1, (4,)), Discrete(2), 2, models.MODEL_DEFAULTS, "keras")
    with pytest.raises(ModelError, match=r"Keras is a TensorFlow model.* TorchModelV2"):
        Keras(*arguments, cells=3)
    with pytest.raises(ModelError, match="TFModelV2 is a TensorFlow model"):
        models.TFModelV2(*arguments)


def test_tensorflow_distributions_can_be_defined_and_not_built(no_tensorflow):
    from anyspace.rllib.models.tf.tf_action_dist import Categorical

    class Sharp(Categorical):
        @staticmethod
        def required_model_output_shape(action_space, model_config):
            return 3

    assert issubclass(Sharp, distributions.ActionDistribution)
    with pytest.raises(ModelError, match="Sharp is a TensorFlow distribution"):
        Sharp(np.zeros((1, 3), np.float32), None)


def test_there_is_no_other_framework(no_tensorflow):
    from anyspace.rllib.utils.framework import tf_function, try_import_tf, try_import_tfp, try_import_torch

    assert try_import_torch() == (torch, torch.nn)
    tf1, tf, tfv = try_import_tf()
    assert (tf1, bool(tf), tfv) == (None, False, None)
    assert tf_function(tf)(len) is len
    assert try_import_tfp() is None
    for function, said in (
        (try_import_tf, r"TensorFlow is not installed: pip install 'anyspace\[tf\]', or use PyTorch"),
        (try_import_tfp, "TensorFlow Probability; take the classes of anyspace.distributions"),
    ):
        with pytest.raises(ImportError, match=said):
            function(error=True)


def test_jax_is_there_where_it_is_installed(monkeypatch):
    from anyspace._rllib import common

    for installed in ((), ("jax",), ("jax", "flax")):
        monkeypatch.setattr(common, "find_spec", lambda name, names=installed: name if name in names else None)
        monkeypatch.setattr(common, "import_module", lambda name: name)
        assert common.try_import_jax() == tuple(name if name in installed else None for name in ("jax", "flax"))
        if len(installed) == 2:
            assert common.try_import_jax(error=True) == ("jax", "flax")
            continue
        with pytest.raises(ImportError, match=r"not installed: (jax and )?flax\. JAX comes with pip install"):
            common.try_import_jax(error=True)


def test_the_stand_in_for_tensorflow_lets_files_be_imported(no_tensorflow):
    from anyspace.rllib.utils.framework import try_import_tf

    _, tf, _ = try_import_tf()

    class Keras(tf.keras.Model):
        pass

    with pytest.raises(ModelError, match="Keras is a TensorFlow model"):
        Keras()
    with pytest.raises(AttributeError, match=r"tf\.reshape: TensorFlow is not installed.*try_import_torch"):
        tf.reshape  # noqa: B018


# ---------------------------------------------------------------------------------------- small things


def test_decorators_leave_things_as_they_are():
    from anyspace.rllib.utils.annotations import DeveloperAPI, ExperimentalAPI, OldAPIStack, PublicAPI, override

    def method():
        return 3

    assert override(models.ModelV2)(method) is method
    for mark in (PublicAPI, DeveloperAPI, ExperimentalAPI, OldAPIStack, PublicAPI(stability="beta"), DeveloperAPI()):
        assert mark(method) is method
        assert mark(Box) is Box


def test_sample_batches_are_dicts_with_the_names_of_columns():
    from anyspace.rllib.policy.sample_batch import SampleBatch

    batch = SampleBatch({SampleBatch.OBS: np.ones((3, 2)), "actions": np.arange(3)})
    assert batch[SampleBatch.CUR_OBS].shape == (3, 2)
    assert (batch.count, SampleBatch().count) == (3, 0)
    assert SampleBatch(rewards=[1.0])[SampleBatch.REWARDS] == [1.0]
    columns = {name for name in vars(SampleBatch) if name.isupper()}
    assert columns >= {"NEXT_OBS", "PREV_ACTIONS", "PREV_REWARDS", "TERMINATEDS", "TRUNCATEDS", "INFOS", "SEQ_LENS"}
    assert (SampleBatch.NEXT_OBS, SampleBatch.ACTION_DIST_INPUTS) == ("new_obs", "action_dist_inputs")


def test_environment_contexts_and_postprocessing_names():
    from anyspace.rllib.env.env_context import EnvContext
    from anyspace.rllib.evaluation.postprocessing import Postprocessing, discount_cumsum

    context = EnvContext({"size": 5}, worker_index=2, num_workers=3)
    assert context["size"] == 5
    assert (context.worker_index, context.vector_index, context.num_workers) == (2, 0, 3)
    assert (Postprocessing.ADVANTAGES, Postprocessing.VALUE_TARGETS) == ("advantages", "value_targets")
    np.testing.assert_allclose(discount_cumsum(np.array([1.0, 2.0, 4.0]), 0.5), [3, 4, 4])


def test_get_preprocessor_returns_a_class():
    from anyspace.rllib.models.preprocessors import NoPreprocessor, OneHotPreprocessor, get_preprocessor

    assert get_preprocessor(Discrete(3)) is OneHotPreprocessor
    assert get_preprocessor(Discrete(3))(Discrete(3)).size == 3
    assert get_preprocessor(Box(-1, 1, (2, 5)))(Box(-1, 1, (2, 5))).size == 10
    assert get_preprocessor(MultiBinary(4), include_multi_binary=True) is NoPreprocessor
    preprocessed = spaces.get_preprocessor(Text(3)).observation_space
    assert get_preprocessor(preprocessed)(preprocessed).size == preprocessed.shape[0]


def test_one_hot_of_numbers():
    from anyspace.rllib.utils.numpy import one_hot

    np.testing.assert_array_equal(one_hot(2, depth=4), [0, 0, 1, 0])
    np.testing.assert_array_equal(one_hot([[0], [2]]), [[[1, 0, 0]], [[0, 0, 1]]])
    np.testing.assert_array_equal(one_hot(np.array([1.9]), depth=2, on_value=5, off_value=-1), [[-1, 5]])
    assert one_hot(np.float64(4.5), depth=5).dtype == np.float32
    for wrong in (5, -1):
        with pytest.raises(ValueError, match=f"below depth = 5, got {wrong}"):
            one_hot(wrong, depth=5)


def test_functions_of_numpy_arrays():
    from anyspace.rllib.utils.numpy import relu, sigmoid, softmax

    x = np.array([[0.0, 100.0], [-3.0, -3.0]])
    np.testing.assert_allclose(softmax(x), [[1e-6, 1], [0.5, 0.5]])
    np.testing.assert_allclose(softmax(x, axis=0, epsilon=0.1), [[1 / (1 + np.exp(-3)), 1], [0.1, 0.1]])
    np.testing.assert_allclose(relu(x, alpha=0.5), [[0, 100], [-1.5, -1.5]])
    np.testing.assert_allclose(relu(x), [[0, 100], [0, 0]])
    np.testing.assert_allclose(sigmoid([0.0, np.log(3)]), [0.5, 0.75])
    np.testing.assert_allclose(sigmoid(0.75, derivative=True), 0.1875)


def test_wrappers_of_atari():
    pytest.importorskip("ale_py")
    from anyspace.data import atari
    from anyspace.rllib.env.wrappers import atari_wrappers

    assert atari_wrappers.WarpFrame is atari.WarpFrame
    assert atari_wrappers.NoopResetEnv is atari.NoopReset
    with gym.make("ALE/Pong-v5") as env:
        assert atari_wrappers.is_atari(env)
        assert atari_wrappers.wrap_deepmind(env, 42, False).observation_space.shape == (42, 42, 1)
        assert atari_wrappers.wrap_deepmind(env, framestack=True, noframeskip=True).observation_space.shape == (
            84,
            84,
            4,
        )


def test_names_that_numpy_has_dropped_are_back():
    assert vars(np)["product"]([2, 3]) == 6
    assert (vars(np)["float"], vars(np)["int"], vars(np)["bool8"]) == (float, int, np.bool_)
