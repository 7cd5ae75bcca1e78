"""What the pages of `docs/` become on the site, so that the files themselves read well as they are.

Blocks of code that follow each other below **PyTorch**, **JAX** and **TensorFlow** become tabs, and links to files
outside of `docs/` become links to the project's home page, if one is set (`repo_url`), else plain words.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

_ONE = r"\*\*(?:PyTorch|JAX|TensorFlow)\*\*\n\n```python\n.*?```\n"
_RUN = re.compile(rf"{_ONE}(?:\n{_ONE})+", re.DOTALL)
_BLOCK = re.compile(r"\*\*(\w+)\*\*\n\n(```python\n.*?```\n)", re.DOTALL)
_OUTSIDE = re.compile(r"\[([^]]+)\]\(\.\./([^)]+)\)")


def on_page_markdown(markdown: str, *, config: Any, **_: object) -> str:
    """Return the text of a page as the site shows it."""
    home = config.repo_url

    def outside(link: re.Match[str]) -> str:
        return f"[{link[1]}]({home.rstrip('/')}/blob/main/{link[2]})" if home else link[1]

    return _OUTSIDE.sub(outside, _RUN.sub(_tabs, markdown))


def _tabs(run: re.Match[str]) -> str:
    """Return blocks below names of frameworks as tabs, which want their content indented."""
    return "\n".join(f'=== "{name}"\n\n{textwrap.indent(code, "    ")}' for name, code in _BLOCK.findall(run[0]))
