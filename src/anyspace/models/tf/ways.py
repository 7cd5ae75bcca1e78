"""How TensorFlow runs a function: compiled by XLA, as a graph, or eagerly, whichever its code allows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from anyspace.errors import AnyspaceError, ModelError

_LOG = logging.getLogger("anyspace")

WAYS = ("compiled by XLA", "as a graph", "eagerly")
"""From the quickest to the one that takes anything."""

AS_A_GRAPH, EAGERLY = 1, 2


class Ways:
    """The way that the functions of one model go; all of them go further down together.

    Attributes:
        number: the position in `WAYS` of the present one.
        start: where draws from TensorFlow's global source start.
    """

    def __init__(self) -> None:
        self.number = 0
        self.start = 0

    @property
    def eager(self) -> bool:
        """Whether Python runs at every call."""
        return self.number == EAGERLY

    def descend(self, number: int, name: str, reason: Exception) -> None:
        """Go another way from now on, and say so.

        Args:
            number: of the way.
            name: whose code it is about.
            reason: why the quicker ways were refused.
        """
        self.number = number
        _LOG.warning(
            f"{name} runs {WAYS[number]}, which is slower: TensorFlow cannot run it {WAYS[number - 1]}:"
            f" {one_line(reason)}"
        )


class NotByXLA(Exception):
    """Raised within a trace by what XLA cannot compile, so that it is not tried."""


class Way:
    """A function of tensors that is run in the quickest way that works.

    Args:
        function: of trees of tensors; within it ``ways.eager`` says whether it is traced.
        ways: shared by the functions of a model.
        name: whose code it is, for messages.
        first: the position in `WAYS` of the quickest that is worth its preparation.
    """

    def __init__(self, function: Callable[..., Any], ways: Ways, name: str, first: int = 0):
        self._function, self._ways, self._name, self._first = function, ways, name, first
        self._made: dict[int, Callable[..., Any]] = {}

    def __call__(self, *arguments: Any) -> Any:
        """Call it.

        Raises:
            ModelError: the function makes new variables at every call.
        """
        settled, refused = self._ways.number, None
        try:
            for number in range(max(settled, self._first), len(WAYS)):
                # What is traced may ask which way it goes.
                self._ways.number = number
                if number == EAGERLY and refused is not None:
                    tf.random.set_seed(self._ways.start)
                try:
                    found = self._of(number)(*arguments)
                except AnyspaceError:
                    raise
                except Exception as error:
                    # Whatever a trace raises, a plain call may do without.
                    if number == EAGERLY:
                        raise
                    _refuse_new_variables(self._name, error)
                    refused = error
                else:
                    if refused is not None:
                        self._ways.descend(number, self._name, refused)
                        settled = number
                    return found
        finally:
            self._ways.number = settled
        raise AssertionError("the last way returns or raises")

    def _of(self, number: int) -> Callable[..., Any]:
        if number not in self._made:
            self._made[number] = (
                self._function
                if number == EAGERLY
                else tf.function(self._function, jit_compile=number == 0 or None, autograph=False)
            )
        return self._made[number]


def _refuse_new_variables(name: str, error: Exception) -> None:
    if isinstance(error, ValueError) and "singleton tf.Variable" in str(error):
        raise ModelError(in_every_pass(name)) from error


def in_every_pass(name: str) -> str:
    """Say of a model that its passes make variables."""
    return (
        f"{name} makes a variable in every pass, which would be new each time and never be trained: make variables and"
        " layers in the constructor."
    )


def one_line(error: Exception) -> str:
    """Return the first line of an error's text."""
    text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"{type(error).__name__}: {' '.join(text.split())[:200]}"
