"""The errors users meet. Each message names the place, what was expected, what came, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AnyspaceError(Exception):
    """Base of every error raised on purpose by this library."""


class ConfigError(AnyspaceError, ValueError):
    """A configuration key is unknown, or its value is out of range or not supported."""


class UnsupportedSpaceError(AnyspaceError, ValueError):
    """A space, or a leaf of it, has no encoding, decoding, model or distribution here."""


class ObservationError(AnyspaceError, ValueError):
    """An observation is not a member of its space, is not finite, or lacks what has to come with it, such as a mask."""


class ModelError(AnyspaceError, ValueError):
    """A model breaks its contract: wrong output shape, wrong state, missing value."""


class EnvironmentSetupError(AnyspaceError, ValueError):
    """An environment cannot be built, or built environments disagree with each other."""


class NonFiniteError(AnyspaceError, FloatingPointError):
    """A reward, loss, gradient or weight is NaN or infinite."""


class CheckpointError(AnyspaceError, ValueError):
    """A checkpoint is missing, truncated, of another format or of other spaces."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name closest to ``name``, or an empty string."""
    candidates = list(known)
    by_lower = {candidate.lower(): candidate for candidate in reversed(candidates)}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)
    if not matches:
        return ""
    quoted = ", ".join(repr(by_lower[match]) for match in matches)
    return f" Did you mean {quoted}?" if len(matches) == 1 else f" Did you mean one of {quoted}?"
