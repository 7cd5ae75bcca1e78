import os

# Tests run beside each other, one for each core: more threads than that wait for each other. Read by NumPy and PyTorch
# when they are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# JAX compiles no programme twice, whichever test, process or run asks for it. Read when JAX is first imported.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{os.path.dirname(__file__)}/../.pytest_cache/compiled")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# Programmes that run once: JAX and TensorFlow take half the time to compile what they do not improve.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0")

import random
import sys
from zlib import crc32

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order() -> None:
    """Let what a test draws from the global sources not depend on which tests ran before it in its process."""
    random.seed(0)
    np.random.seed(0)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.default_generator.manual_seed(0)


@pytest.fixture
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs draw no learning curve, which takes longer than everything else that small ones do."""
    drawn = "anyspace.execution.run_folder.draw_learning_curve"
    monkeypatch.setattr(drawn, lambda metrics, picture, title: picture.touch())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave one case of each test to a framework that compiles, and the others to `make fuzz`.

    A formula is the same for all frameworks, and every new shape of an array takes it half a second there. JAX, which
    compiles every operation alone, has the tests of `docs/acceptance.md` and a third of the others, always the same.
    TensorFlow, whose arrays cannot be written to either, has a case of them all.
    """
    seen = set()
    for item in items:
        framework = item.callspec.params.get("framework") if hasattr(item, "callspec") else None
        if getattr(framework, "compiles", False):
            of = framework.name, item.nodeid.partition("[")[0]
            left_out = framework.name == "jax" and not item.get_closest_marker("spec") and crc32(of[1].encode()) % 3
            if of in seen or left_out:
                item.add_marker(pytest.mark.fuzz)
            seen.add(of)
