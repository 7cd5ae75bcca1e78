"""The columns that a model's ``forward`` is given."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from functools import partial
from typing import Any

from anyspace import tree
from anyspace.maths.sequences import Resets
from anyspace.maths.xp import Array, xp
from anyspace.spaces.repeated_values import RepeatedValues, any_array
from anyspace.spaces.restore import join
from anyspace.tree import Tree

Compute = Callable[[], Any]
"""Computes a column."""

RESETS = "state_resets"
"""The column that tells models which pack sequences where further ones begin."""

OBSERVED = ("obs", "obs_flat")
"""The columns that hold the present observation."""

_NOTHING = object()


class MissingColumn(KeyError):
    """A column that is not there.

    Attributes:
        key: its name.
        there: the names of those that are.
    """

    def __init__(self, key: str, there: Iterable[str]):
        self.key, self.there = key, list(there)
        super().__init__(
            f"{key!r} is not among the model's inputs: {', '.join(self.there)}. Other columns have to be declared in"
            " view_requirements."
        )


class InputDict(dict[str, Any]):
    """The columns a model may read; some are computed only when first touched.

    Setting ``obs`` sets ``obs_flat`` as well, so that a model which changes the one hands both on to its
    sub-models.

    Args:
        columns: values that are already there.
        lazy: column name to a function of no arguments that computes it.
        scaled: the same for ``obs`` and ``obs_flat`` as built-in networks take them, where that differs: pictures in
            [0, 1]. They are given up when a model sets these columns: networks then take what it has set.

    Attributes:
        taken: whether a model was called with it. Sub-models get a view of it, so that what they set stays theirs.
        owned: whether a model has set ``obs``.
    """

    def __init__(
        self,
        columns: Mapping[str, Any],
        lazy: Mapping[str, Compute] | None = None,
        scaled: Mapping[str, Compute] | None = None,
    ):
        super().__init__(columns)
        self._lazy = dict(lazy or {})
        self._scaled = dict(scaled) if scaled else {}
        self.taken = self.owned = False

    def __missing__(self, key: str) -> Any:
        compute = self._lazy.get(key)
        if compute is None:
            raise MissingColumn(key, self)
        value = compute()
        super().__setitem__(key, value)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        if key in OBSERVED:
            self._scaled.pop(key, None)
        if key == "obs":
            self._scaled.clear()
            super().pop("obs_flat", None)
            self._lazy["obs_flat"] = lambda: flatten_structured(value)
            self.owned = True

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        super().pop(key, None)
        self._lazy.pop(key, None)

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self._lazy

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        yield from (key for key in self._lazy if not super(InputDict, self).__contains__(key))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __copy__(self) -> InputDict:
        return self.copy()

    def __or__(self, other: Any) -> Any:
        both = self.copy()
        both.update(other)
        return both

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

    def pop(self, key: str, default: Any = _NOTHING) -> Any:
        """Take a column out and return it, or ``default`` where there is none."""
        if key not in self and default is not _NOTHING:
            return default
        value = self[key]
        del self[key]
        return value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the column; where there is none, set it to ``default`` first."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(  # type: ignore[override]
        self, other: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **columns: Any
    ) -> None:
        """Set the columns of a mapping, or of pairs, as assigning them one by one does."""
        for key, value in {**dict(other), **columns}.items():
            self[key] = value

    def copy(self, shallow: bool = False) -> InputDict:
        """Return a new dict with the same columns and the same columns still to compute.

        Args:
            shallow: accepted for old call sites; arrays are shared in any case, as they always were.
        """
        new = InputDict({key: self[key] for key in super().__iter__()}, self._lazy, self._scaled)
        new.owned = self.owned
        return new

    def view(self) -> InputDict:
        """Return a new dict with the same columns; those that it computes are then there in this one, too."""
        there = {key: self[key] for key in super().__iter__()}
        lazy = {key: partial(self.__getitem__, key) for key in self._lazy if key not in there}
        new = InputDict(there, lazy, self._scaled)
        new.owned = self.owned
        return new

    def mapped(self, function: Callable[[Any], Any]) -> InputDict:
        """Return a new dict of what ``function`` makes of each column but ``is_training``, computed when touched."""
        made = InputDict(
            {"is_training": self["is_training"]} if "is_training" in self else {},
            {key: lambda key=key: function(self[key]) for key in self if key != "is_training"},  # type: ignore[misc]
            {key: lambda compute=compute: function(compute()) for key, compute in self._scaled.items()},  # type: ignore[misc]
        )
        made.taken, made.owned = self.taken, self.owned
        return made

    def add_states(self, state: list[Array], seq_lens: Array, resets: Resets | None = None) -> None:
        """Add ``seq_lens`` [S] and the states before the sequences, ``state_in_0`` and so on, unless they are there.

        What models that pack sequences go by is ``state_resets``: a dict of the fields of :class:`Resets`.
        """
        if resets is not None:
            super().__setitem__(RESETS, resets._asdict())
        for key, value in (("seq_lens", seq_lens), *((f"state_in_{i}", part) for i, part in enumerate(state))):
            if key not in self:
                super().__setitem__(key, value)

    def of_network(self, key: str) -> Any:
        """Return ``obs`` or ``obs_flat`` as built-in networks take it: scaled, unless a model has set it itself."""
        compute = self._scaled.get(key)
        return self[key] if compute is None else compute()

    def scaled(self) -> dict[str, Compute]:
        """Return what computes the columns that networks take in another form; see the constructor."""
        return dict(self._scaled)

    @property
    def is_training(self) -> bool:
        """Whether this pass is part of a gradient step."""
        return bool(self.get("is_training", False))

    @is_training.setter
    def is_training(self, training: bool) -> None:
        self["is_training"] = training

    def set_training(self, training: bool = True) -> None:
        """Say whether this pass is part of a gradient step."""
        self["is_training"] = training

    @property
    def seq_lens(self) -> Array | None:
        """The lengths of the sequences that the rows are [S]; None: they are no sequences."""
        return self.get("seq_lens")

    @property
    def count(self) -> int:
        """How many rows there are, padding left out; 0 without columns."""
        lens = self.seq_lens
        if lens is not None:
            return int(lens.sum())
        first = next((key for key in ("actions", "obs", *self) if key in self and key != "is_training"), None)
        rows = None if first is None else any_array(self[first])
        return 0 if rows is None else len(rows)


def of_network(columns: Mapping[str, Any], key: str) -> Any:
    """Return ``obs`` or ``obs_flat`` of a model's inputs as built-in networks take it.

    What a model has made itself, a plain dict among it, is taken as it is.
    """
    return columns.of_network(key) if isinstance(columns, InputDict) else columns[key]


def flatten_structured(obs: Tree) -> Array:
    """Join the leaves of a structured observation, each [N, ...], into one float array [N, F].

    Lists (`RepeatedValues`) are laid out as in flat observations: the length, then the elements.
    """

    def as_float(leaf: Array | RepeatedValues) -> Array | RepeatedValues:
        return leaf.map(as_float) if isinstance(leaf, RepeatedValues) else xp(leaf).astype(leaf, "float32")

    return join(tree.map_leaves(as_float, obs), batch_dims=1)
