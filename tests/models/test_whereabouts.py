"""Ways from a model to what it holds: each the shortest, all of them found in one walk."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np

from anyspace.models.whereabouts import ways_to


class Unspeakable:
    """A key whose text cannot be made."""

    def __repr__(self) -> str:
        raise NotImplementedError


def test_one_walk_leads_to_all() -> None:
    first, second, third, missing = (np.zeros(1) for _ in range(4))
    model = SimpleNamespace(deep={"a": [0, first]}, near=first, by=partial(print, key=second), f=lambda: third)
    ways = ways_to(model, [first, second, third, missing])
    assert {key: way.path for key, way in ways.items()} == {
        id(first): "near",
        id(second): "by['key']",
        id(third): "f.third",
    }
    assert ways[id(second)].holders == (model, model.by)


def test_only_what_is_looked_for_is_spelt() -> None:
    wanted = np.zeros(1)
    model = SimpleNamespace(table={Unspeakable(): 0}, tail={"k": wanted})
    assert ways_to(model, [wanted])[id(wanted)].path == "tail['k']"
    assert ways_to(model, []) == {}
