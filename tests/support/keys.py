"""What a key of an algorithm's configuration changes."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any

from anyspace.algorithms.algorithm import Algorithm
from tests.support.hashes import digest_of


def fingerprint(kind: type[Algorithm[Any]], env: Any, settings: dict[str, Any], iterations: int = 3) -> tuple[str, str]:
    """Return what iterations leave behind: the weights, and all that is reported but times."""
    with closing(kind(env, settings, preset="none")) as algorithm:
        for _ in range(iterations):
            result = algorithm.train()
        reported = {key: value for key, value in result.items() if not re.search("time_|_per_s", key)}
        return digest_of(algorithm.policy.state()), repr(reported)
