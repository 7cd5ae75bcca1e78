"""Rules about the source itself that no other tool checks."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent

CIRCLES_LEFT = {
    *("algorithms", "algorithms.algorithm", "algorithms.checkpoints", "algorithms.ppo"),
    *("policy.check", "policy.outside", "policy.policy"),
    *("spaces.images", "spaces.leaves"),
}
"""Modules that may still lie on a circle of imports."""

CLOSED_DOCUMENTS = re.compile(r"\bspec \d|\bspec chapter|\bdesign section|\bthe seed's\b", re.IGNORECASE)
"""Citations of documents that readers of this project cannot open."""


@functools.cache
def import_graph() -> grimp.ImportGraph:
    return grimp.build_graph("anyspace", cache_dir=None)


def circle_through(graph: grimp.ImportGraph, module: str) -> list[str] | None:
    """Return the shortest way by which a module imports itself, or None."""
    below = graph.find_modules_directly_imported_by(module)
    chains = (graph.find_shortest_chain(importer=first, imported=module) for first in sorted(below))
    return min(([module, *chain] for chain in chains if chain), key=len, default=None)


def test_no_file_imports_itself_by_way_of_others() -> None:
    graph = import_graph()
    circles = {module: circle_through(graph, module) for module in sorted(graph.modules)}
    new = [
        " -> ".join(circle)
        for module, circle in circles.items()
        if circle and module.removeprefix("anyspace.") not in CIRCLES_LEFT
    ]
    assert not new, "\n".join(new)


def test_a_circle_is_found() -> None:
    graph = grimp.ImportGraph()
    for importer, imported in (("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")):
        graph.add_import(importer=importer, imported=imported)
    assert circle_through(graph, "a") is None
    assert circle_through(graph, "b") == ["b", "c", "b"]


def test_nothing_cites_a_document_that_readers_cannot_open() -> None:
    files = [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]
    for folder, kinds in (("src", "py toml"), ("docs", "md"), ("tests", "py"), ("benchmarks", "py")):
        files += [file for kind in kinds.split() for file in (ROOT / folder).rglob(f"*.{kind}")]
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in files
        if file != Path(__file__)
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if CLOSED_DOCUMENTS.search(line)
    ]
    assert not found, "\n".join(found)
