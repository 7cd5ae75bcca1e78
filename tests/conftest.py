import os

# Tests run beside each other, one for each core: more threads than that wait for each other. Read by NumPy and PyTorch
# when they are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import random
import sys

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
