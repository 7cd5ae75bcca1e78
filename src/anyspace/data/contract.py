"""What Gymnasium's API asks of ``reset`` and ``step``, and what to tell authors of environments that do otherwise."""

from __future__ import annotations

import inspect
import logging
import math
import re
import signal
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from anyspace import nesting
from anyspace.errors import ConfigError, EnvironmentSetupError, ObservationError

Returned = tuple[Any, float, bool, bool, dict[Any, Any]]

RESET = "Gymnasium's reset returns (observation, info): write `return obs, {}`"
STEP = "Gymnasium's step returns (observation, reward, terminated, truncated, info)"
OLD = (
    ". Where the old gym had one `done`, say `terminated` if the episode is over for good, and `truncated` if a time"
    " limit cut it"
)
NO_FLAG = f"it has to be True or False, and {STEP} in this order"
SIGNATURES = {"reset": "reset(self, *, seed=None, options=None)", "step": "step(self, action)"}
NUMBERS = frozenset({float, int, np.float64, np.float32, np.int64})
"""Types of rewards that need no second look."""
FLAGS = frozenset({bool, np.bool_})
"""Types of flags that need no second look."""


class Contract:
    """Takes apart what the ``reset`` and ``step`` of one environment return.

    Args:
        env: the environment.
        number: its number in the vector, for messages.
        space: of its observations.
        tell: is told, once, that an info is no dict; None: it is logged, of the first environment.
    """

    def __init__(
        self, env: gym.Env[Any, Any], number: int, space: gym.Space[Any], tell: Callable[[str], None] | None = None
    ):
        self._env, self._number, self._space = env, number, space
        self._tell = tell or logging.getLogger("anyspace").warning
        self._name = type(env.unwrapped).__name__
        self._told = False

    def of_reset(self, returned: Any) -> tuple[Any, dict[Any, Any]]:
        """Return observation and info; what is no dict is dropped as an info, which is said once.

        Raises:
            EnvironmentSetupError: ``reset`` returned something else, such as the observation alone.
        """
        if not isinstance(returned, tuple | list) or len(returned) != 2:
            self._refuse(f"reset() returned {described(returned)}, but {RESET}")
        obs, info = returned
        if isinstance(info, dict):
            return obs, info
        self.of_misfit(returned)
        with suppress(TypeError):  # of what cannot be a key
            if {obs, info} == set(nesting.parts(self._space) or ()):
                self._refuse(f"reset() returned the observation alone, whose keys were taken for a pair, but {RESET}")
        return obs, self._without_info(info, "reset")

    def of_misfit(self, returned: Any) -> None:
        """Refuse a pair that ``reset`` returned if the whole of it is an observation."""
        if self._is_observation(returned):
            self._refuse(f"reset() returned the observation alone, but {RESET}")

    def of_step(self, returned: Any) -> Returned:
        """Return the values of a step; a reward is a number, a flag a boolean and an info a dict.

        Arrays and lists of one number are numbers, 0 and 1 are booleans. What is no dict is dropped as an info, which
        is said once.

        Raises:
            EnvironmentSetupError: ``step`` returned something else.
        """
        if not isinstance(returned, tuple | list) or len(returned) != 5:
            self._refuse_step(returned)
        obs, reward, terminated, truncated, info = returned
        number = _single(reward)
        if number is None:
            self._refuse_part(returned, f"{described(reward)} as its reward, but {_why_no_reward(reward)}")
        for name, flag in (("terminated", terminated), ("truncated", truncated)):
            if _single(flag) not in (0.0, 1.0):
                self._refuse_part(returned, f"{described(flag)} as `{name}`, but {NO_FLAG}")
        if not isinstance(info, dict):
            if not self._told and self._is_observation(returned):
                self._refuse(f"step() returned the observation alone, but {STEP}")
            info = self._without_info(info, "step")
        return obs, number, bool(_single(terminated)), bool(_single(truncated)), info

    def _refuse_step(self, returned: Any) -> NoReturn:
        if self._is_observation(returned):
            self._refuse(f"step() returned the observation alone, but {STEP}")
        is_old = isinstance(returned, tuple | list) and len(returned) == 4
        self._refuse(f"step() returned {described(returned)}, but {STEP}{OLD if is_old else ''}")

    def _refuse_part(self, returned: Any, what: str) -> NoReturn:
        self._refuse(
            f"step() returned {f'the observation alone, but {STEP}' if self._is_observation(returned) else what}"
        )

    def _without_info(self, info: Any, method: str) -> dict[Any, Any]:
        if not self._told and self._number == 0:
            self._tell(
                f"{self._name}.{method}() returned {described(info)} as its info, but an info is a dict. It is taken"
                " for an empty one; return {} where there is nothing to tell."
            )
        self._told = True
        return {}

    def explain(self, error: Exception | SystemExit, method: str) -> None:
        """Raise a clear error in place of ``error`` if the environment's signature, or what it returned, caused it.

        Wrappers take apart what is beneath them before it gets here: then the values are found in their frames.
        """
        if isinstance(error, SystemExit):
            refuse_exit(error, f"environment {self._number}: {self._name}.{method}()")
            return
        if _frames(error)[-1].f_code is gym.Env.step.__code__:  # it raises an error that says nothing
            self._refuse(f"step() is not defined: write `def {SIGNATURES['step']}`", error)
        if isinstance(error, TypeError) and f"{method}() " in str(error) and "argument" in str(error):
            self._require_signature(method, error)
        frame = _failed_wrapper(error)
        if frame is not None:
            self._require_values(frame, error)

    def _require_signature(self, method: str, cause: TypeError) -> None:
        """Refuse an environment whose ``reset`` takes no seed and options, or whose ``step`` takes no action."""
        given: dict[str, Any] = {"seed": None, "options": None} if method == "reset" else {}
        layer: Any = self._env
        while True:
            function = getattr(layer, method)
            try:
                inspect.signature(function).bind(*(() if given else (None,)), **given)
            except TypeError:
                raise EnvironmentSetupError(
                    f"environment {self._number}: {type(layer).__name__}.{method}{inspect.signature(function)} does not"
                    f" take what Gymnasium hands over: write `def {SIGNATURES[method]}`."
                ) from cause
            except ValueError:  # it has no signature
                return
            if not isinstance(layer, gym.Wrapper):
                return
            layer = layer.env

    def _require_values(self, frame: FrameType, cause: Exception) -> None:
        """Refuse what the environment beneath a wrapper returned to it, where the wrapper failed because of that."""
        found, method = frame.f_locals, frame.f_code.co_name
        advice = RESET if method == "reset" else STEP
        if "unpack" in str(cause) and frame is _frames(cause)[-1]:
            wrapper = type(found["self"]).__name__
            old = OLD if method == "step" and "got 4" in str(cause) else ""
            self._refuse(
                f"{method}(): {wrapper} around it cannot take apart what it returned ({cause}). {advice}{old}", cause
            )
        if method == "step" and _single(found.get("reward", 0.0)) is None:
            what = f"{described(found['reward'])} as its reward, but {_why_no_reward(found['reward'])}"
            self._refuse(f"step() returned {what}", cause)
        for name in ("terminated", "truncated"):
            if method == "step" and _single(found.get(name, False)) not in (0.0, 1.0):
                self._refuse(f"step() returned {described(found[name])} as `{name}`, but {NO_FLAG}", cause)
        if not isinstance(found.get("info", {}), dict):
            self._refuse(f"{method}() returned {described(found['info'])} in the place of its info. {advice}", cause)

    def _is_observation(self, value: Any) -> bool:
        with suppress(Exception), warnings.catch_warnings():  # a space may fail at what is far from its members
            warnings.simplefilter("ignore")
            return bool(self._space.contains(tuple(value) if isinstance(value, list) else value))
        return False

    def _refuse(self, what: str, cause: Exception | None = None) -> NoReturn:
        raise EnvironmentSetupError(f"environment {self._number}: {self._name}.{what}.") from cause


def close(env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any]) -> None:
    """Close environments; an error of theirs is logged, for what was done with them must not be lost by it."""
    try:
        env.close()
    except Exception as error:
        logging.getLogger("anyspace").warning(
            f"{type(env.unwrapped).__name__}.close() failed ({type(error).__name__}: {error}); nothing else is lost by"
            " that."
        )


def refuse_exit(error: SystemExit, what: str) -> None:
    """Raise an error in place of a ``sys.exit()`` of an environment's code, which would end the run without a word.

    Sub-classes of ``SystemExit`` and what a handler of signals raises are not the environment's: nothing happens then.

    Args:
        error: what came.
        what: of the environment it came from: ``"Shop.step()"``.

    Raises:
        RuntimeError: with the traceback of ``error``.
    """
    handlers = [getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()]
    if type(error) is SystemExit and not any(frame.f_code in handlers for frame in _frames(error)):
        raise RuntimeError(
            f"{what} ended the program (sys.exit()), which is not for an environment to decide: raise an error there"
            " that says what is wrong"
        ).with_traceback(error.__traceback__) from None


def blame(error: Exception, step: str, num_envs: int) -> NoReturn:
    """Raise ``error`` again and say at which step it came: in the message, or as a note to an environment's own.

    Args:
        error: what a source raised, or the encoding of what it returned.
        step: such as ``"step 7"``.
        num_envs: how many environments the source has.
    """
    if isinstance(error, ConfigError):
        raise error
    if isinstance(error, ObservationError | EnvironmentSetupError):
        own = isinstance(error, EnvironmentSetupError) and not str(error).startswith("environment ")
        raise type(error)(f"{step}{':' if own else ','} {error}") from error
    error.add_note(f"(raised by one of {num_envs} environments at {step})")
    raise error


def described(value: Any) -> str:
    """Return a value in a few words."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} ({value.dtype})" if value.ndim else f"{value!r:.60}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)} values"
    if isinstance(value, dict):
        return f"a dict ({', '.join(map(repr, list(value)[:5]))})" if value else "an empty dict"
    return f"{value!r:.60} ({type(value).__name__})"


def _single(value: Any) -> float | None:
    """Return the only number of a value, or None where it holds none or several."""
    if isinstance(value, int | float | np.number | np.bool_) and not isinstance(value, np.complexfloating):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    with suppress(Exception):  # NumPy fails at uneven lists, and frameworks at arrays that live on a device
        array = np.asarray(value)
        if array.size == 1 and array.dtype.kind in "biuf":
            return float(array.reshape(()))
    return None


def _why_no_reward(reward: Any) -> str:
    if isinstance(reward, dict):
        return (
            "a reward is one number. Rewards by agent are those of several agents in one environment, which are out of"
            " scope; PettingZoo's go through SuperSuit's pettingzoo_env_to_vec_env_v1"
        )
    with suppress(Exception):
        array = np.asarray(reward)
        if array.size > 1 and array.dtype.kind in "biuf":
            return (
                "a reward is one number. Weigh several objectives in a wrapper, as"
                " mo_gymnasium.wrappers.LinearReward(env, weight=...) does"
            )
    return "a reward is one number"


def cannot_unpack(error: Exception) -> bool:
    """Whether Gymnasium's own code failed at taking apart what an environment of a vector environment returned."""
    return (
        isinstance(error, ValueError | TypeError)
        and re.match(_UNPACKING, str(error)) is not None
        and failed_stacking(error)
    )


def failed_stacking(error: Exception) -> bool:
    """Whether an error is of vector environments themselves, not of what they hold."""
    name: str = _frames(error)[-1].f_globals.get("__name__", "")
    return name.startswith(("gymnasium.vector", "anyspace.data.in_turn"))


_UNPACKING = r"(not enough|too many) values to unpack \(expected [25]\b|cannot unpack non-iterable"


def _failed_wrapper(error: Exception) -> FrameType | None:
    """Return the ``reset`` or ``step`` of the wrapper in which an error arose, None where it is the environment's."""
    for frame in reversed(_frames(error)):
        layer = frame.f_locals.get("self")
        if frame.f_code.co_name in SIGNATURES and isinstance(layer, gym.Env):
            return frame if isinstance(layer, gym.Wrapper) else None
    return None


def _frames(error: BaseException) -> list[FrameType]:
    """Return the frames of an error's traceback, the one that raised it last."""
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
