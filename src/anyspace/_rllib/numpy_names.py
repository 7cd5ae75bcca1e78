"""Names of NumPy that files of RLlib's old stack use, and that NumPy has dropped since."""

from __future__ import annotations

import numpy as np

DROPPED = {
    "Inf": np.inf,
    "NaN": np.nan,
    "bool8": np.bool_,
    "cumproduct": np.cumprod,
    "float": float,
    "float_": np.float64,
    "int": int,
    "object": object,
    "product": np.prod,
}
"""Name -> what it stood for."""


def restore() -> None:
    """Let NumPy have the names that it lacks."""
    for name, meaning in DROPPED.items():
        # Asked for as an attribute, some of them warn.
        if name not in vars(np):
            setattr(np, name, meaning)
