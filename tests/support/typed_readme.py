"""The Python of README.md as ``mypy --strict`` sees it: ``python -m tests.support.typed_readme``."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def main() -> int:
    """Return mypy's exit status."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"readme_{number}.py" for number in range(len(blocks))]
        for file, block in zip(files, blocks, strict=True):
            file.write_text(block)
        # The project's settings are strict, and so its cache serves.
        return subprocess.run([sys.executable, "-m", "mypy", *map(str, files)], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
