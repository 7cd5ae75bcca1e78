"""The Python of README.md as ``mypy --strict`` and pyright see it: ``python -m tests.support.typed_readme``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def main() -> int:
    """Return 0 where both find nothing."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"readme_{number}.py" for number in range(len(blocks))]
        for file, block in zip(files, blocks, strict=True):
            file.write_text(block)
        # The project's settings are strict, and so its cache serves.
        mypy = subprocess.run([sys.executable, "-m", "mypy", *map(str, files)], cwd=ROOT, check=False)
        (Path(folder) / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT / "src")]}))
        words = ["-p", folder, "--pythonpath", sys.executable]
        pyright = subprocess.run([sys.executable, "-m", "pyright", *words], cwd=ROOT, check=False)
    return mypy.returncode or pyright.returncode


if __name__ == "__main__":
    sys.exit(main())
