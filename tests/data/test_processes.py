"""Environments in processes of their own: errors arrive whole."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from anyspace.data.environments import EnvSpec
from anyspace.data.vector import make_source
from anyspace.errors import EnvironmentSetupError
from tests.support.environments import Samples

PARENT = os.getpid()


class TwoParts(Exception):
    """Cannot be made from one argument, as Gymnasium would do."""

    def __init__(self, part: str, number: int):
        super().__init__(f"{part} {number}")
        self.part, self.number = part, number

    def __reduce__(self) -> Any:
        return TwoParts, (self.part, self.number)


class Fails(Samples):
    """Fails in its worker process: where it is made, or in its first step."""

    def __init__(self, error: BaseException | None = None, made: bool = False, code: int | None = None):
        super().__init__(Box(-1, 1, (1,)), Discrete(2))
        self.error, self.code = error, code
        if made and error is not None and os.getpid() != PARENT:
            raise error

    def step(self, action: Any) -> Any:
        if self.code is not None:
            os._exit(self.code)
        if self.error is not None:
            raise self.error
        return super().step(action)


def stepped(**arguments: Any) -> None:
    with closing(make_source(EnvSpec(Fails, arguments), 2, "async")) as source:
        source.reset(0)
        source.step(np.zeros(2, np.int64))


def test_an_error_keeps_its_type_its_parts_and_its_traceback() -> None:
    with pytest.raises(TwoParts, match=r"^gear 3") as caught:
        stepped(error=TwoParts("gear", 3))
    assert (caught.value.part, caught.value.number) == ("gear", 3)
    assert "In the process of environment 0:" in caught.value.__notes__[0]
    assert "raise self.error" in caught.value.__notes__[0]


def test_an_error_that_cannot_be_sent_is_told_by_its_name() -> None:
    class Local(Exception):
        pass

    with pytest.raises(RuntimeError, match=r"^Local: gear") as caught:
        stepped(error=Local("gear"))
    assert "raise self.error" in caught.value.__notes__[0]


def test_an_environment_that_cannot_be_made_in_its_process() -> None:
    with pytest.raises(ConnectionError, match=r"^no simulator"):
        stepped(error=ConnectionError("no simulator"), made=True)


def test_a_process_that_ends() -> None:
    with pytest.raises(EnvironmentSetupError, match=r"^environment \d: its process ended with exit code 7"):
        stepped(code=7)
