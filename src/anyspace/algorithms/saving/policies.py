"""Policies out of checkpoints: what acting takes, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from anyspace.algorithms.algorithm import Algorithm
from anyspace.algorithms.saving.checkpoints import restored
from anyspace.algorithms.saving.reading import Reader, building
from anyspace.execution.backends import backend_of
from anyspace.policy.policy import Policy


def load_policy(
    path: str | os.PathLike[str],
    *,
    kind: type[Algorithm[Any]] = Algorithm,
    config: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> Policy:
    """Return the policy of a checkpoint; see :meth:`Policy.load`, which calls this.

    Args:
        path: a run folder or a checkpoint.
        kind: the algorithm's class, or one that it derives from.
        config: keys to change, and code in place of what is recorded.
        trust: import and call the code that the checkpoint names.
    """
    reader = Reader(kind, trust=trust, acts_only=True)
    loaded = reader.read(path, layers=[config or {}])
    settings = loaded.settings
    runtime = backend_of(settings.framework).runtime(settings)
    with building(path, loaded.kind.config_class, config or {}, trust=trust):
        policy = Policy(*loaded.spaces, settings, runtime, loaded.kind.plan(settings), loaded.seed)
    plain = {"policy": loaded.parts.get("policy", {})}
    restored(loaded.kind, {"policy": policy}, plain, loaded.tensors, runtime, path, {})
    return policy
