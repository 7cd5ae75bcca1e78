"""What the benchmarks share: the machine's description, running a peer, tables."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEER_PYTHON = HERE.parent / ".venv-peers" / "bin" / "python"
RLLIB_PYTHON = HERE.parent / ".venv-rllib" / "bin" / "python"


def describe() -> str:
    """Return processor, cores and versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "gymnasium"))
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {packages}"


def run_json(command: list[str]) -> dict[str, Any]:
    """Run a command and return the JSON object on the last line it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def require_peers() -> None:
    """Leave with advice where the peers are not installed."""
    if not PEER_PYTHON.exists():
        sys.exit("the peers are not installed; run `make peers` first")


def median(values: list[float]) -> float:
    """Return the median."""
    return statistics.median(values)
