"""What the documents claim: their Python runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_readme_python_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks("python")[number].replace("20_000", "1_000")
    exec(compile(code, f"README block {number}", "exec"), {"__name__": "readme"})


def test_readme_commands_parse() -> None:
    from anyspace.cli import _COMMANDS

    commands = [line for block in blocks("console") for line in block.splitlines() if line.startswith("anyspace ")]
    assert len(commands) >= 6
    assert {line.split()[1] for line in commands} == set(_COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_architecture_names_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for module in (ROOT / "src" / "anyspace").rglob("*.py"):
        if module.name != "__init__.py":
            assert module.name in text, module
