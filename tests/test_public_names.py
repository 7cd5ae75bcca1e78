import importlib
import os
import subprocess
import sys

import pytest

NAMES = {
    "anyspace": {"PPO", "Algorithm", "Policy", "register_env", "register_space"},
    "anyspace.models": {
        "MODEL_DEFAULTS",
        "ComplexInputNetwork",
        "FullyConnectedNetwork",
        "GTrXLNet",
        "InputDict",
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


def test_the_bare_import_changes_nothing_in_the_process():
    code = "import os; before = dict(os.environ); import anyspace; print(before == dict(os.environ))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "True"


@pytest.mark.parametrize(("given", "expected"), [(None, "100000"), ("7", "7")])
def test_threads_wait_asleep_unless_told_otherwise(given, expected):
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {} if given is None else {"GOMP_SPINCOUNT": given}
    code = "import os, anyspace.models.torch; print(os.environ['GOMP_SPINCOUNT'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == expected
