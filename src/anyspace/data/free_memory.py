"""How much memory is left: of the machine, and of the group of processes that a container limits."""

from __future__ import annotations

from pathlib import Path

_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Limit and use of a container's memory, in the two versions of control groups."""


def free_memory(root: Path = Path("/")) -> int | None:
    """Return how many bytes a process can still take; None where the system does not say.

    Args:
        root: where the system's files lie.
    """
    lines = _read(root / "proc/meminfo").splitlines()
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for limit, use in _GROUPS:
        most, now = _read(root / limit[1:]).strip(), _read(root / use[1:]).strip()
        if most.isdigit() and now.isdigit():  # without a limit the file says "max"
            found.append(int(most) - int(now))
    return max(0, min(found)) if found else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
