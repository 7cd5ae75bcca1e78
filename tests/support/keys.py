"""What a key of an algorithm's configuration changes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from anyspace.algorithms.algorithm import Algorithm
from tests.support.hashes import digest_of

Fingerprint = tuple[str, str]

_FOUND: dict[tuple[type, Any, str, int], Fingerprint] = {}


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by path as nested dicts."""
    found: dict[str, Any] = {"model": {}}
    for path, value in settings.items():
        outer, _, key = path.rpartition(".")
        (found[outer] if outer else found)[key] = value
    return found


def trained(kind: type[Algorithm[Any]], env: Any, settings: dict[str, Any], iterations: int) -> Fingerprint:
    """Return what iterations leave behind: the weights, and all that is reported but times."""
    with closing(kind(env, nested(settings), preset="none")) as algorithm:
        return _after(algorithm, iterations)


def fingerprint(kind: type[Algorithm[Any]], env: Any, settings: dict[str, Any], iterations: int = 2) -> Fingerprint:
    """Return what :func:`trained` returns; equal configurations, most of them the one to compare with, train once."""
    with closing(kind(env, nested(settings), preset="none")) as algorithm:
        of = kind, env, repr(algorithm.config), iterations
        if of not in _FOUND:
            _FOUND[of] = _after(algorithm, iterations)
        return _FOUND[of]


def _after(algorithm: Algorithm[Any], iterations: int) -> Fingerprint:
    for _ in range(iterations):
        result = algorithm.train()
    reported = {key: value for key, value in result.items() if not re.search("time_|_per_s", key)}
    return digest_of(algorithm.policy.state()), repr(reported)
