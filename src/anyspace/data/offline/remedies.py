"""What to do about recorded columns that are missing, or hold what their space does not allow."""

from __future__ import annotations

from collections.abc import Collection

from anyspace.errors import ConfigError, ObservationError
from anyspace.spaces.encoding.misfit import FIX_THE_SPACE
from anyspace.spaces.faults import BE_FINITE, STAY_INSIDE

_NAMES = {
    **dict.fromkeys(("observations", "observation", "states", "state"), "obs"),
    **dict.fromkeys(("next_observations", "next_observation", "next_states", "next_state"), "new_obs"),
    **dict.fromkeys(("terminals", "terminations", "terminated", "done"), "terminateds"),
    **dict.fromkeys(("timeouts", "truncations", "truncated"), "truncateds"),
    **{"action": "actions", "reward": "rewards"},
}
"""What columns are called by others, and here."""

_REMEDY = (
    "Write what the space says into the files, or learn with the spaces that the steps were recorded in: those of the"
    " environment that is given, else of `spaces.json`."
)


def require_columns(columns: Collection[str], needed: Collection[str], place: str) -> None:
    """Raise :class:`ConfigError` for the first column that is needed and not there; names what others call it."""
    missing = [name for name in needed if name not in columns]
    if missing:
        others = [f"`{name}` is called `{_NAMES[name]}` here" for name in columns if _NAMES.get(name) in missing]
        hint = f" {', '.join(others)}." if others else ""
        raise ConfigError(
            f"{place}: there is no column {missing[0]!r}; there are {', '.join(sorted(columns)) or 'none'}.{hint}"
            f" Learning from recorded steps takes {', '.join(needed)}."
        )


def of_files(error: ObservationError) -> str:
    """Return what an error about observations says, with what to do about files in place of an environment."""
    text = str(error)
    advice = next((advice for advice in (FIX_THE_SPACE, STAY_INSIDE, BE_FINITE) if text.endswith(advice)), None)
    return text if advice is None else f"{text.removesuffix(advice)}{_REMEDY}"
