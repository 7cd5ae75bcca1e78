"""What the documents claim: their Python runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from anyspace import PPO
from anyspace import config as configs
from anyspace.cli import _commands
from anyspace.cli.export import ExportFlags
from anyspace.cli.flags import EnvFlags, algorithm_of
from anyspace.cli.look import BenchFlags, CheckFlags, InspectFlags, PlotFlags
from anyspace.cli.play import EvaluateFlags, RecordFlags
from anyspace.cli.report import ReportFlags
from anyspace.cli.sweep import SweepFlags
from anyspace.cli.train import TrainFlags
from anyspace.spaces.kinds import registered
from tests.support import configuration

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def blocks(language: str, document: Path = ROOT / "README.md") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(), re.DOTALL)


PYTHON = [(document, number) for document in DOCUMENTS for number in range(len(blocks("python", document)))]


@pytest.mark.parametrize(("document", "number"), PYTHON, ids=[f"{path.name} {number}" for path, number in PYTHON])
def test_python_runs(document: Path, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registered, "_registered", {})
    code = blocks("python", document)[number].replace("20_000", "1_000")
    exec(compile(code, f"{document.name} block {number}", "exec", dont_inherit=True), {"__name__": "document"})


def test_the_policy_of_the_tutorial_acts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ROOT / "docs" / "tutorial.md"
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "garden", raising=False)
    Path("garden.py").write_text(blocks("python", page)[0])
    with closing(PPO("garden:Garden", preset="none")) as algorithm:
        algorithm.save("runs/garden")
    (code,) = blocks("py", page)
    exec(compile(code, "tutorial.md", "exec", dont_inherit=True), {"__name__": "document"})


def commands(document: Path) -> list[list[str]]:
    """Return the words of each `anyspace ...` of a document's consoles."""
    lines = [line for block in blocks("console", document) for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line.removeprefix("$ "), comments=True)[1:] for line in lines if _COMMAND.match(line)]


_COMMAND = re.compile(r"(\$ )?anyspace ")
FLAGS: dict[str, type] = {
    "train": TrainFlags,
    "sweep": SweepFlags,
    "evaluate": EvaluateFlags,
    "record": RecordFlags,
    "report": ReportFlags,
    "inspect": InspectFlags,
    "check": CheckFlags,
    "bench": BenchFlags,
    "plot": PlotFlags,
    "export": ExportFlags,
}


def test_readme_has_every_command() -> None:
    assert {words[0] for words in commands(ROOT / "README.md")} == {*FLAGS, "list"} == {*_commands()}


def flags(command: str, words: list[str]) -> set[str]:
    """Return the flags that a command has, with the keys of the algorithm that its words name."""
    kind = algorithm_of(words[words.index("--algo") + 1] if "--algo" in words else "ppo")
    keys = configs.paths(kind.config_class()) if issubclass(FLAGS[command], EnvFlags) else ()
    own = [field.name for field in dataclasses.fields(FLAGS[command])]
    places = [key.rpartition(".") for key in (*keys, *own)]
    # `--lambda` gives `lambda_`.
    return {f"{place}{dot}{no}{name.removesuffix('_')}" for place, dot, name in places for no in ("", "no_")}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_flags_of_commands_are_there(document: Path) -> None:
    """Whoever parses a whole command takes half a second for it: its flags are compared by name."""
    for command, *words in commands(document):
        asked = {word[2:].partition("=")[0].replace("-", "_") for word in words if word.startswith("--")}
        assert asked <= (flags(command, words) if command != "list" else set()), (command, words)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_architecture_names_every_module_in_its_room() -> None:
    rooms = (ROOT / "docs" / "architecture.md").read_text().split("## Rooms")[1].split("```")[1]
    named, room = set(), "anyspace"
    for line in rooms.splitlines():
        if begins := re.match(r"  (?:(\w+)/|\S)", line):  # what is further to the right goes on with the same room
            room = begins[1] or "anyspace"
        named |= {(room, module) for module in re.findall(r"\w+\.py", line)}
    modules = [module.relative_to(ROOT / "src").parts for module in (ROOT / "src" / "anyspace").rglob("*.py")]
    there = {(parts[1] if len(parts) > 2 else "anyspace", parts[-1]) for parts in modules}
    assert {(room, module) for room, module in there if module != "__init__.py"} == named - {
        ("anyspace", "__init__.py")
    }


def test_every_configuration_key_is_on_its_page() -> None:
    """``python -m tests.support.configuration --write`` brings it up to date."""
    assert configuration.page() in configuration.PAGE.read_text()


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert (built.returncode, built.stderr) == (0, "")
    page = (tmp_path / "custom-models" / "index.html").read_text()
    assert re.findall(r"<label for=\"__tabbed_1_\d\">(\w+)</label>", page) == ["PyTorch", "JAX", "TensorFlow"]
    example = (tmp_path / "examples" / "masks" / "index.html").read_text()
    assert "masks.py" in example
    assert 'href="../examples/callbacks/"' in (tmp_path / "callbacks" / "index.html").read_text()
