"""The columns that a model's ``forward`` is given."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any

from anyspace import tree
from anyspace.maths.xp import Array, xp
from anyspace.spaces.repeated_values import RepeatedValues
from anyspace.spaces.restore import join
from anyspace.tree import Tree


class InputDict(dict[str, Any]):
    """The columns a model may read; some are computed only when first touched.

    Setting ``obs`` sets ``obs_flat`` as well, so that a model which changes the one hands both on to its
    sub-models.

    Args:
        columns: values that are already there.
        lazy: column name to a function of no arguments that computes it.
    """

    def __init__(self, columns: Mapping[str, Any], lazy: Mapping[str, Callable[[], Any]] | None = None):
        super().__init__(columns)
        self._lazy = dict(lazy or {})

    def __missing__(self, key: str) -> Any:
        compute = self._lazy.get(key)
        if compute is None:
            raise KeyError(
                f"{key!r} is not among the model's inputs: {', '.join(self)}. Other columns have to be declared in"
                " view_requirements."
            )
        value = compute()
        super().__setitem__(key, value)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        if key == "obs":
            super().pop("obs_flat", None)
            self._lazy["obs_flat"] = lambda: flatten_structured(value)

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self._lazy

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        yield from (key for key in self._lazy if not super(InputDict, self).__contains__(key))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """Return the names of all columns, without computing any."""
        return KeysView(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """Return all columns; going through them computes them."""
        return ValuesView(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """Return names and columns; going through them computes them."""
        return ItemsView(self)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the column, computing it if need be, or ``default`` where there is none."""
        if key not in self:
            return default
        return self[key]

    def copy(self) -> InputDict:
        """Return a new dict with the same columns and the same columns still to compute."""
        return InputDict({key: self[key] for key in super().__iter__()}, self._lazy)

    @property
    def is_training(self) -> bool:
        """Whether this pass is part of a gradient step."""
        return bool(self.get("is_training", False))


def flatten_structured(obs: Tree) -> Array:
    """Join the leaves of a structured observation, each [N, ...], into one float array [N, F].

    Lists (`RepeatedValues`) are laid out as in flat observations: the length, then the elements.
    """

    def as_float(leaf: Array | RepeatedValues) -> Array | RepeatedValues:
        return leaf.map(as_float) if isinstance(leaf, RepeatedValues) else xp(leaf).astype(leaf, "float32")

    return join(tree.map_leaves(as_float, obs), batch_dims=1)
