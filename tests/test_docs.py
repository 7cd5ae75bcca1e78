"""What the documents claim: their Python runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import configuration

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def blocks(language: str, document: Path = ROOT / "README.md") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(), re.DOTALL)


PYTHON = [(document, number) for document in DOCUMENTS for number in range(len(blocks("python", document)))]


@pytest.mark.parametrize(("document", "number"), PYTHON, ids=[f"{path.name} {number}" for path, number in PYTHON])
def test_python_runs(document: Path, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks("python", document)[number].replace("20_000", "1_000")
    exec(compile(code, f"{document.name} block {number}", "exec", dont_inherit=True), {"__name__": "document"})


def test_readme_commands_parse() -> None:
    from anyspace.cli import _commands

    commands = [line for block in blocks("console") for line in block.splitlines() if line.startswith("anyspace ")]
    assert len(commands) >= 6
    assert {line.split()[1] for line in commands} == set(_commands())


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
