"""Rules about the source itself that no other tool checks."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grimp
import gymnasium as gym
import pytest

import anyspace
from anyspace import spaces
from tests.support.mutants import MUTANTS, broken, survives

ROOT = Path(__file__).parent.parent

SOURCE = Path(anyspace.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

SPACE_CLASSES = {
    name
    for room in (gym.spaces, spaces)
    for name, member in vars(room).items()
    if inspect.isclass(member) and issubclass(member, gym.Space) and member is not gym.Space
}
MOST_QUESTIONS = 38
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60

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
    new = [" -> ".join(circle) for module, circle in circles.items() if circle]
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


def space_questions(file: Path) -> Iterator[int]:
    """Yield the lines on which a file asks by ``isinstance`` for a kind of space: Gymnasium's, or one of ours."""
    module = ast.parse(file.read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("gymnasium", "anyspace.spaces"))
        for alias in node.names
    }
    own = {node.name for node in ast.walk(module) if isinstance(node, ast.ClassDef)} & SPACE_CLASSES
    for call in ast.walk(module):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "isinstance"):
            continue
        for part in ast.walk(call.args[1]):
            name = part.attr if isinstance(part, ast.Attribute) else part.id if isinstance(part, ast.Name) else ""
            known = isinstance(part, ast.Attribute) or name in imported | own
            if known and name in SPACE_CLASSES:
                yield call.lineno
                break


def test_few_lines_ask_which_kind_of_space_they_have() -> None:
    found = {str(file.relative_to(SOURCE)): len({*space_questions(file)}) for file in FILES}
    assert sum(found.values()) <= MOST_QUESTIONS, {name: count for name, count in found.items() if count}


def test_files_are_short() -> None:
    lengths = {str(file.relative_to(SOURCE)): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert not {name: lines for name, lines in lengths.items() if lines > MOST_LINES}


def test_functions_are_short() -> None:
    too_long = {
        f"{file.relative_to(SOURCE)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
        if node.end_lineno - node.lineno >= MOST_LINES_OF_A_FUNCTION
    }
    assert not too_long


def test_a_class_name_stands_for_one_thing() -> None:
    """But for the models, which have classes of the same names for each framework; and `_rllib` has RLlib's names."""
    places: dict[str, set[Path]] = {}
    for file in FILES:
        place = file.relative_to(SOURCE)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and place.parts[0] != "_rllib":
                places.setdefault(node.name, set()).add(place)
    assert not {name: sorted(map(str, found)) for name, found in places.items() if stand_for_several_things(found)}


def stand_for_several_things(places: set[Path]) -> bool:
    """Return whether the files that have a class of one name are others than a file of each framework's models."""
    rooms = {place.parent for place in places}
    return len(places) > 1 and (len(rooms) < len(places) or any(room.parts[:1] != ("models",) for room in rooms))


@pytest.mark.parametrize(
    ("places", "several"),
    [
        ("models/tf/a.py", False),
        ("models/tf/a.py models/jax/b.py models/c.py", False),
        ("models/tf/a.py models/tf/b.py", True),
        ("models/tf/a.py data/a.py", True),
    ],
)
def test_a_framework_has_a_name_once(places: str, several: bool) -> None:
    assert stand_for_several_things({*map(Path, places.split())}) is several


def test_every_line_that_mutants_break_is_there() -> None:
    """``make mutants`` breaks them one by one."""
    assert all(broken(mutant) for mutant in MUTANTS)


def test_a_mutant_whose_tests_do_not_run_is_not_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def ends_with(status: int) -> None:
        done = subprocess.CompletedProcess([], status, "no such file", "")
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)

    for status, lives in ((0, True), (1, False)):
        ends_with(status)
        assert survives(MUTANTS[0]) is lives
    ends_with(4)
    with pytest.raises(RuntimeError, match=r"maths/returns\.py: pytest ended with 4:\nno such file"):
        survives(MUTANTS[0])


@pytest.mark.xdist_group("house")
def test_tests_of_a_group_share_a_process(request: pytest.FixtureRequest) -> None:
    """Else TensorFlow is imported, Ray started and another process asked twice: minutes, and nobody would know."""
    grouped = bool(request.config.getoption("loadgroup", default=False))
    assert request.node.nodeid.endswith("@house") == grouped
