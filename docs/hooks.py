"""What the pages of `docs/` become on the site, so that the files themselves read well as they are.

Blocks of code that follow each other below **PyTorch**, **JAX** and **TensorFlow** become tabs. Each file of
`examples/` has a page, and their README is the first of these. Links to other files outside of `docs/` become links
to the project's home page, if one is set (`repo_url`), else plain words.
"""

from __future__ import annotations

import posixpath
import re
import textwrap
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

_ONE = r"\*\*(?:PyTorch|JAX|TensorFlow)\*\*\n\n```python\n.*?```\n"
_RUN = re.compile(rf"{_ONE}(?:\n{_ONE})+", re.DOTALL)
_BLOCK = re.compile(r"\*\*(\w+)\*\*\n\n(```python\n.*?```\n)", re.DOTALL)
_LINK = re.compile(r"\[([^]]+)\]\(([^):]+)\)")
_EXAMPLES = Path(__file__).parent.parent / "examples"


def on_files(files: Files, *, config: Any) -> Files:
    """Add a page for each example, and name them all in the navigation."""
    readme = (_EXAMPLES / "README.md").read_text()
    pages = {"index.md": re.sub(r"\((\w+)\.py\)", r"(\1.md)", readme).replace("(../docs/", "(../")}
    for file in sorted(_EXAMPLES.glob("*.py")):
        pages[f"{file.stem}.md"] = f"# {file.name}\n\n```python\n{file.read_text()}```\n"
    for name, text in pages.items():
        files.append(File.generated(config, f"examples/{name}", content=text))
    named = [
        {"All": "examples/index.md"},
        *({f"{name[:-3]}.py": f"examples/{name}"} for name in pages if name != "index.md"),
    ]
    config.nav = [*config.nav[:4], {"Examples": named}, *config.nav[4:]]
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: object) -> str:
    """Return the text of a page as the site shows it."""
    home, folder = config.repo_url, posixpath.dirname(page.file.src_uri)

    def link(found: re.Match[str]) -> str:
        words, target = found[1], posixpath.normpath(posixpath.join(folder, found[2]))
        if not target.startswith("../"):
            return found[0]
        if target.startswith("../examples/"):
            name = {"README.md": "index.md"}.get(Path(target).name, f"{Path(target).stem}.md")
            return f"[{words}]({posixpath.relpath(f'examples/{name}', folder or '.')})"
        return f"[{words}]({home.rstrip('/')}/blob/main/{target[3:]})" if home else words

    return _LINK.sub(link, _RUN.sub(_tabs, markdown))


def _tabs(run: re.Match[str]) -> str:
    """Return blocks below names of frameworks as tabs, which want their content indented."""
    return "\n".join(f'=== "{name}"\n\n{textwrap.indent(code, "    ")}' for name, code in _BLOCK.findall(run[0]))
