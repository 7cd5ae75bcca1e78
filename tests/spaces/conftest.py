"""What is left out with versions of Gymnasium that lack what it is about."""

from __future__ import annotations

from tests.support.catalogue import GRAPHS_OF_PARTS

_ABOUT_GRAPHS_OF_PARTS = (
    "test_serialize.py",
    "test_leaves.py",
    "kinds/test_bounded.py",
    "kinds/test_parts.py",
    "kinds/test_registered.py",
    "encoding/test_ragged.py",
)

collect_ignore = [] if GRAPHS_OF_PARTS else [*_ABOUT_GRAPHS_OF_PARTS]
