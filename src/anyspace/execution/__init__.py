"""Who does what when: learner, fleet, evaluation, checkpoints, reports."""

import importlib
import random


def _load_rich() -> None:
    """Import Rich's styles, which draw a number, and leave Python's source of random numbers as it was."""
    state = random.getstate()
    importlib.import_module("rich.style")
    random.setstate(state)


_load_rich()
