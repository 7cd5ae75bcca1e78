"""The errors users meet. Each message names the place, what was expected, what came, and what to do."""

from __future__ import annotations

import difflib
import re
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


class WorkerError(AnyspaceError, RuntimeError):
    """A worker in another process died too often, or does not start."""


class ExportError(AnyspaceError, ValueError):
    """A policy cannot become a file for other programs, or the file does not act as the policy does."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known names close to ``name``, or an empty string."""
    found = list(map(repr, near(name, known)))
    if not found:
        return ""
    return f" Did you mean {found[0]}?" if len(found) == 1 else f" Did you mean one of {', '.join(found)}?"


def near(name: str, known: Iterable[str]) -> list[str]:
    """Return up to three known names that somebody who writes ``name`` may mean, the closest first; often none.

    Close are a few letters too many, too few or changed, and all letters in another order; else the names that begin
    with ``name`` or have its words among theirs (``epochs``: ``num_epochs``). Upper case, dashes and the version at the
    end of an id do not count, so that ``Shop-v0`` is not taken for ``Hop-v0``; of several versions the last is meant.
    """
    versions: dict[str, list[str]] = {}
    for candidate in known:
        versions.setdefault(_stem(candidate), []).append(candidate)
    stem = _stem(name)
    found = difflib.get_close_matches(stem, versions, n=3, cutoff=_CUTOFF)
    found += [other for other in versions if other not in found and sorted(other) == sorted(stem)]
    if not found and len(stem) >= _SHORTEST_WORD:
        words = {*_words(stem)}
        found = [other for other in versions if other.startswith(stem) or words <= {*_words(other)}]
        found.sort(key=len)
    return [max(versions[other], key=_version) for other in found[:3]]


_CUTOFF = 0.78
"""Share of letters that two names have in common, in the same order, from which one may be meant by the other."""
_SHORTEST_WORD = 4
_VERSION = re.compile(r"-v(\d+)$")


def _stem(name: str) -> str:
    return _VERSION.sub("", name).lower().replace("-", "_")


def _version(name: str) -> int:
    found = _VERSION.search(name)
    return int(found[1]) if found else -1


def _words(stem: str) -> list[str]:
    return re.split(r"[^a-z0-9]+", stem)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, of which there are several unless it is 1."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
