import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import anyspace
from anyspace.policy.exporting import ExportOptions
from anyspace.policy.seeing import ActingOptions

NAMES = {
    "anyspace": {
        "A2C",
        "APPO",
        "Algorithm",
        "BC",
        "Callback",
        "DQN",
        "IMPALA",
        "MARWIL",
        "PG",
        "PPO",
        "Policy",
        "SAC",
        "check_env",
        "register_env",
        "register_space",
    },
    "anyspace.models": {
        "MODEL_DEFAULTS",
        "ComplexInputNetwork",
        "FullyConnectedNetwork",
        "GTrXLNet",
        "InputDict",
        "JaxModelV2",
        "ModelCatalog",
        "ModelConfig",
        "ModelV2",
        "RecurrentNetwork",
        "TFModelV2",
        "TorchModelV2",
        "ViewRequirement",
        "VisionNetwork",
    },
    "anyspace.distributions": {
        "ActionDistribution",
        "AutoregressiveActions",
        "Bernoulli",
        "Beta",
        "Categorical",
        "Deterministic",
        "DiagGaussian",
        "Dirichlet",
        "GumbelSoftmax",
        "MultiActionDistribution",
        "MultiCategorical",
        "SlateMultiCategorical",
        "SquashedGaussian",
    },
    "anyspace.spaces": {
        "ActionMasks",
        "AtariPixels",
        "AtariRam",
        "AtariRamPreprocessor",
        "BoundedGraph",
        "BoundedSequence",
        "Decoder",
        "DictFlatteningPreprocessor",
        "Encoder",
        "FILTERS",
        "Fault",
        "Filter",
        "GenericPixelPreprocessor",
        "Image",
        "LeafSpec",
        "MeanStdFilter",
        "NoFilter",
        "NoPreprocessor",
        "ObservationFilter",
        "OneHotPreprocessor",
        "PaddingPreprocessor",
        "Preprocessor",
        "Repeated",
        "RepeatedValues",
        "RepeatedValuesPreprocessor",
        "RunningStat",
        "Simplex",
        "StackedFrames",
        "TupleFlatteningPreprocessor",
        "Words",
        "bounded",
        "check_action_space",
        "decode",
        "describe_images",
        "encode",
        "find_fault",
        "flatten_actions",
        "from_json",
        "get_filter",
        "get_preprocessor",
        "normalize_action",
        "register_space",
        "require_valid",
        "restore_original_dimensions",
        "spec",
        "to_json",
        "unflatten_actions",
    },
    "anyspace.maths": {
        "Array",
        "Namespace",
        "Rng",
        "clipped_squared_error",
        "clipped_surrogate",
        "discounted_cumsum",
        "explained_variance",
        "gae",
        "lambda_returns",
        "masked_mean",
        "n_step",
        "reverse_recurrence",
        "standardise",
        "vtrace",
        "xp",
    },
}
"""What users import. A name may be added here; none may go or move."""


TAUGHT = {
    "anyspace.algorithms.on_policy": {"gae", "training_rows"},
    "anyspace.algorithms.ppo": {"PPOConfig"},
    "anyspace.data.offline": {"write_spaces"},
    "anyspace.execution.callbacks": {"PruneTrial", "RecordVideo", "StopWithoutImprovement", "WeightsAndBiases"},
    "anyspace.maths.xp": {"xp"},
    "anyspace.models.jax.networks": {"RecurrentNetwork"},
    "anyspace.models.tf.networks": {"RecurrentNetwork"},
    "anyspace.policy.plan": {"Plan"},
}
"""What documents import from elsewhere: it stays where it is, too."""

KEYWORDS = {
    "Algorithm.learn": "total_steps callback out overwrite progress total_timesteps",
    "Algorithm.evaluate": "episodes explore render progress seed",
    "Algorithm.record": "path episodes explore progress seed",
    "Algorithm.call_envs": "method arguments",
    "Algorithm.save": "path",
    "Algorithm.load": "path env config trust overrides",
    "Algorithm.load_weights": "path",
    "Algorithm.predict": "observation state episode_start deterministic action_masks prev_reward info ended",
    "Algorithm.compute_single_action": "observation state options",
    "Algorithm.compute_actions": "observations state options",
    "Algorithm.set_weights": "weights",
    "Policy.load": "path config trust",
    "Policy.export": "path options",
    "Policy.compute_single_action": "observation state options",
    "ActingOptions": "ended explore info mask prev_reward",
    "ExportOptions": "env episodes observations rows seed stochastic",
}


def test_documents_import_what_is_held():
    root = Path(__file__).parent.parent
    held = {module: NAMES.get(module, set()) | TAUGHT.get(module, set()) for module in {*NAMES, *TAUGHT}}
    for document in [*root.glob("*.md"), *(root / "docs").rglob("*.md")]:
        code = "\n".join(re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL))
        for module, names in re.findall(r"^from (anyspace[\w.]*) import (\([^)]*\)|.*)", code, re.MULTILINE):
            if not module.startswith("anyspace.rllib"):
                assert {*re.findall(r"\w+", names)} <= held.get(module, set()), (document.name, module)
    for module, names in TAUGHT.items():
        assert all(hasattr(importlib.import_module(module), name) for name in names)


@pytest.mark.parametrize("path", KEYWORDS)
def test_keywords_of_public_methods(path):
    kind, _, method = path.partition(".")
    if method:
        named = inspect.signature(getattr(getattr(anyspace, kind), method)).parameters
    else:
        named = sorted({"ActingOptions": ActingOptions, "ExportOptions": ExportOptions}[kind].__annotations__)
    assert [name for name in named if name != "self"] == KEYWORDS[path].split()


@pytest.mark.parametrize("module", NAMES)
def test_public_names(module):
    found = importlib.import_module(module)
    assert set(found.__all__) == NAMES[module]
    assert len(found.__all__) == len(set(found.__all__))
    for name in found.__all__:
        assert getattr(found, name) is not None


@pytest.mark.parametrize("module", ["anyspace", "anyspace.models"])
def test_other_names_are_attribute_errors(module):
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'Nothing'"):
        importlib.import_module(module).Nothing  # noqa: B018


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    import anyspace

    assert anyspace.__version__ == version("anyspace")
    assert {"PPO", "Algorithm", "Policy", "register_env"} <= set(dir(anyspace))


@pytest.mark.parametrize(
    "module", ["anyspace", "anyspace.models", "anyspace.spaces", "anyspace.distributions", "anyspace.maths"]
)
def test_importing_alone_brings_in_no_framework(module):
    frameworks = ("torch", "keras", "jax", "tensorflow", "ray")
    code = f"import sys, {module}; print([name for name in {frameworks} if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_the_bare_import_stays_light():
    code = "import sys, anyspace; print([name for name in ('numpy', 'gymnasium', 'matplotlib') if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


STATE = """
import gc, logging, os, random, signal, sys, threading, warnings

def state():
    found = {
        "environment": dict(os.environ),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "filters": [one for one in warnings.filters if "torch" not in str(one)],
        "loggers": (logging.root.level, list(logging.root.handlers), logging.root.disabled, logging.raiseExceptions),
        "ours": (logging.getLogger("anyspace").level, list(logging.getLogger("anyspace").handlers)),
        "random": random.getstate(),
        "hooks": (sys.excepthook, sys.displayhook, threading.excepthook),
        "recursion": sys.getrecursionlimit(),
        "threads": threading.active_count(),
        "collector": (gc.isenabled(), gc.get_threshold()),
        "folder": os.getcwd(),
        "path": list(sys.path),
    }
    if "numpy" in sys.modules:
        import numpy
        found["numpy"] = (repr(numpy.random.get_state()), numpy.geterr(), numpy.get_printoptions())
    if "torch" in sys.modules:
        import torch
        found["torch"] = [
            ask() for ask in (
                torch.get_num_threads, torch.get_num_interop_threads, torch.get_default_dtype, torch.is_grad_enabled,
                torch.are_deterministic_algorithms_enabled, torch.get_float32_matmul_precision, torch.initial_seed,
                torch.is_anomaly_enabled, torch.get_rng_state().tolist,
            )
        ] + [torch.backends.cudnn.benchmark]
    return found
"""
"""What a library could change in the process that imports it."""


EVERYTHING = """
import anyspace, anyspace.models.torch, anyspace.execution.torch_learner
from anyspace import PPO, Algorithm, Policy, register_env
from anyspace.rllib.algorithms.ppo import PPO
"""


@pytest.mark.parametrize(
    ("first", "ours"),
    [
        ("", "import anyspace"),
        ("import numpy, gymnasium", EVERYTHING),
        ("import numpy, gymnasium, torch", EVERYTHING),
    ],
    ids=["the name alone", "everything", "everything after PyTorch"],
)
def test_importing_changes_nothing_in_the_process(first, ours):
    """What other packages change when they are imported, warning filters for one, is not counted."""
    code = f"""{STATE}
{first}
before = state()
{ours}
after = state()
print([name for name in before if before[name] != after[name]])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("given", [None, "7"])
def test_threads_wait_asleep_unless_told_otherwise(given):
    """OpenMP reads the variable when PyTorch is imported; afterwards it is as it was."""
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {} if given is None else {"GOMP_SPINCOUNT": given}
    code = """
import importlib, os
real = importlib.import_module
seen = []
importlib.import_module = lambda name, *rest: seen.append(os.environ["GOMP_SPINCOUNT"]) or real(name, *rest)
import anyspace.models.torch
print(seen, os.environ.get("GOMP_SPINCOUNT"))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == ("['1000'] None" if given is None else "[] 7")


def test_naming_the_library_imports_no_framework():
    code = "import sys; from anyspace import PPO, Algorithm, Policy, register_env; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("package", "name"), [("jax", "JaxModelV2"), ("tensorflow", "TFModelV2")])
def test_all_models_can_be_imported_without_a_framework(package: str, name: str) -> None:
    script = f"""
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == {package!r} else find(name, *rest)
sys.modules[{package!r}] = None
from anyspace.models import *
from anyspace.errors import ModelError
try:
    type("Mine", ({name},), {{}})()
except ModelError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "Mine is a" in found.stdout, found.stderr
    assert "pip install 'anyspace[" in found.stdout


def test_objects_of_a_session_say_what_they_are() -> None:
    from anyspace.rllib.algorithms.ppo import PPOConfig
    from anyspace.spaces import get_preprocessor

    algorithm = anyspace.PPO("CartPole-v1", preset="none", kl_coeff=0.3, train_batch_size=64, minibatch_size=64)
    policy = algorithm.policy
    assert repr(algorithm) == "<PPO on CartPole-v1 after 0 steps, torch>"
    assert repr(policy) == "<Policy of Discrete(2): FullyConnectedNetwork, torch>"
    assert repr(policy.get_distribution(policy.observation_space.sample()[None])) == "<Categorical of inputs [1, 2]>"
    assert repr(algorithm.kl_coeff) == "KLPenalty(0.3)"
    assert repr(policy.runtime.cell(0.5)) == "Cell(0.5)"
    assert repr(algorithm.fleet.gather(64)) == "<Trajectory [64, 1]: 64 steps>"
    assert repr(get_preprocessor(policy.env_action_space)) == "OneHotPreprocessor(Discrete(2))"
    assert repr(PPOConfig().training(lr=1e-3)) == "PPOConfig({'lr': 0.001})"
    algorithm.close()
