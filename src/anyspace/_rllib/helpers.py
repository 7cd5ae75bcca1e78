"""Small things of `utils` of RLlib's old stack."""

from __future__ import annotations

import contextlib
import functools
import logging
import pprint
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from anyspace._rllib.sample_batch import SampleBatch

T = TypeVar("T", bound=Callable[..., Any])

_LOG = logging.getLogger("anyspace")


def deprecation_warning(
    old: str, new: str | None = None, *, help: str | None = None, error: bool | type[Exception] | None = None
) -> None:
    """Log that ``old`` is deprecated, or raise ``error`` (True: ValueError).

    Args:
        old: what is deprecated.
        new: what to use.
        help: what to do, where there is nothing new.
        error: an exception class, True or False.
    """
    advice = f" Use `{new}` instead." if new else f" {help or ''}"
    text = f"`{old}` has been deprecated.{advice}"
    if error:
        raise (ValueError if error is True else error)(text)
    _LOG.warning("%s", text)


def Deprecated(
    old: str | None = None, *, new: str | None = None, help: str | None = None, error: bool | type[Exception]
) -> Callable[[T], T]:
    """Return a decorator of functions and classes that calls `deprecation_warning` when they are called or built."""

    def mark(marked: T) -> T:
        whole: Any = marked
        target: Any = getattr(whole, "__init__") if isinstance(whole, type) else whole  # noqa: B009

        @functools.wraps(target)
        def warned(*args: Any, **kwargs: Any) -> Any:
            deprecation_warning(old or marked.__name__, new, help=help, error=error)
            return target(*args, **kwargs)

        if not isinstance(whole, type):
            return cast(T, warned)
        setattr(whole, "__init__", warned)  # noqa: B010
        return marked

    return mark


def add_mixins(base: type, mixins: Sequence[type] | None, reversed: bool = False) -> type:
    """Return a class that derives from ``mixins``, the first of them first, and then from ``base``.

    Args:
        base: the base class.
        mixins: classes to put before it.
        reversed: put them after it.
    """
    for mixin in [*(mixins or [])][::-1]:
        base = type("new_base", (base, mixin) if reversed else (mixin, base), {})
    return base


def force_list(elements: Any = None, to_tuple: bool = False) -> Any:
    """Return a list (or a tuple) of what a list, set or tuple holds; of anything else, alone in it; of None, empty."""
    kind = tuple if to_tuple else list
    if elements is None:
        return kind()
    return kind(elements) if isinstance(elements, list | set | tuple) else kind([elements])


force_tuple = functools.partial(force_list, to_tuple=True)


class NullContextManager(contextlib.AbstractContextManager[None]):
    """A context that does nothing."""

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


def deep_update(
    original: dict[str, Any],
    new_dict: Mapping[str, Any],
    new_keys_allowed: bool = False,
    allow_new_subkey_list: Sequence[str] | None = None,
    override_all_if_type_changes: Sequence[str] | None = None,
    override_all_key_list: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Put the values of a nested dict into another one in place, and return that.

    Args:
        original: the dict that is changed.
        new_dict: the values.
        new_keys_allowed: whether there may be keys that ``original`` lacks.
        allow_new_subkey_list: keys of ``original`` whose dicts may get new ones.
        override_all_if_type_changes: keys whose dicts are replaced whole where their ``type`` changes.
        override_all_key_list: keys whose dicts are replaced whole.

    Raises:
        KeyError: a key is new where none may be.
    """
    for key, value in new_dict.items():
        if key not in original and not new_keys_allowed:
            raise KeyError(f"unknown key {key!r}; there are {', '.join(original)}")
        mine = original.get(key)
        whole = key in (override_all_key_list or ()) or (
            key in (override_all_if_type_changes or ())
            and isinstance(value, dict)
            and isinstance(mine, dict)
            and value.get("type", mine.get("type")) != mine.get("type")
        )
        if isinstance(mine, dict) and isinstance(value, dict) and not whole:
            deep_update(mine, value, new_keys_allowed or key in (allow_new_subkey_list or ()))
        else:
            original[key] = value
    return original


def merge_dicts(d1: Mapping[str, Any], d2: Mapping[str, Any]) -> dict[str, Any]:
    """Return a nested dict with the values of both, those of ``d2`` where both have one."""
    merged = {key: merge_dicts(value, {}) if isinstance(value, dict) else value for key, value in d1.items()}
    return deep_update(merged, d2, new_keys_allowed=True)


def with_lock(func: T) -> T:
    """Return a method that holds ``self._lock`` while it runs.

    Raises:
        AttributeError: the object has no ``_lock``.
    """

    @functools.wraps(func)
    def locked(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            return func(self, *args, **kwargs)

    return cast(T, locked)


class LambdaDefaultDict(defaultdict[Any, Any]):
    """A dict that makes a value of its key where there is none.

    Args:
        default_factory: key to value.
    """

    def __init__(self, default_factory: Callable[[Any], Any], *args: Any, **kwargs: Any):
        if not callable(default_factory):
            raise TypeError(f"LambdaDefaultDict: expected a function of a key, got {default_factory!r}.")
        super().__init__(None, *args, **kwargs)
        self._make = default_factory

    def __missing__(self, key: Any) -> Any:
        self[key] = self._make(key)
        return self[key]


def update_global_seed_if_necessary(framework: str | None = None, seed: int | None = None) -> None:
    """Seed the global sources of Python, NumPy and, for "torch", PyTorch; None does nothing."""
    if seed is None:
        return
    random.seed(seed)
    np.random.seed(seed)
    if framework == "torch":
        from anyspace._rllib.torch.gradients import set_torch_seed

        set_torch_seed(seed)


def summarize(obj: Any) -> str:
    """Return a text of a nested value in which arrays are told by shape, dtype and range."""
    return pprint.pformat(_summary(obj), indent=2, width=60)


class _Words:
    """Text without quotes."""

    def __init__(self, text: str):
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _summary(obj: Any) -> Any:
    if isinstance(obj, SampleBatch):
        return {"type": "SampleBatch", "data": {name: _summary(value) for name, value in obj.items()}}
    if isinstance(obj, dict):
        return {name: _summary(value) for name, value in obj.items()}
    if isinstance(obj, list | tuple):
        return type(obj)(map(_summary, obj)) if type(obj) in (list, tuple) else tuple(map(_summary, obj))
    if not isinstance(obj, np.ndarray):
        return obj
    found = ""
    if obj.size and obj.dtype.kind in "OUS":
        found = f", head={_summary(obj.flat[0])}"
    elif obj.size:
        found = f", min={obj.min():.3f}, max={obj.max():.3f}, mean={obj.mean():.3f}"
    return _Words(f"np.ndarray({obj.shape}, dtype={obj.dtype}{found})")


# ------------------------------------------------------------------------------------------------ errors


class NotSerializable(Exception):
    """An object cannot be written and read again."""


ERR_MSG_OLD_GYM_API = (
    "Environments need Gymnasium's API: reset(seed=, options=) returns (obs, info), step(action) returns (obs, reward,"
    " terminated, truncated, info)."
)
ERR_MSG_INVALID_ENV_DESCRIPTOR = (
    "{} is no environment: give an id that gymnasium.make knows, a name passed to register_env, a class or a function."
)
ERR_MSG_NO_GPUS = "{} GPUs were found, and {} were asked for."
HOWTO_CHANGE_CONFIG = 'Give configuration keys to the algorithm: PPO(env="CartPole-v1", config={"lr": 1e-3}).'
