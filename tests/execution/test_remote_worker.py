"""Workers as they are in processes of their own: built from bytes, with errors as values."""

from __future__ import annotations

import pickle
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from anyspace.execution.remote_worker import RemoteWorker, pickled
from anyspace.execution.worker import Built, Failure
from tests.execution.test_worker import PPO, SMALL, Odd, new

MODULE = """
from tests.execution.test_worker import Odd

class OnlyHere(Odd):
    pass
"""


def packed(env: Any) -> bytes:
    """Return what workers are built from."""
    with closing(new(PPO, env, {**SMALL, "num_env_runners": 1})) as algorithm:
        fleet: Any = algorithm.fleet
        return pickled(fleet._recipe)


def test_a_worker_is_built_from_bytes() -> None:
    actor = RemoteWorker(0, 0)
    assert isinstance(actor.build(packed(Odd)), Built)
    actor.close()


def test_a_module_that_a_worker_lacks_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text(MODULE)
    with monkeypatch.context() as here:
        here.syspath_prepend(str(tmp_path))
        recipe = packed(__import__("only_here").OnlyHere)
        sys.modules.pop("only_here")
    answer = RemoteWorker(2, 0).build(recipe)
    assert isinstance(answer, Failure)
    arrived: Failure = pickle.loads(pickle.dumps(answer))
    with pytest.raises(ModuleNotFoundError, match="No module named 'only_here'") as caught:
        arrived.reraise()
    advice, traceback = caught.value.__notes__
    assert "install it on every machine, or set for one ray_runtime_env={'pip': [" in advice
    assert traceback.startswith("In worker 2:\nTraceback")
