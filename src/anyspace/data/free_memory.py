"""How much memory is left: of the machine, and of the group of processes that a container limits."""

from __future__ import annotations

from pathlib import Path

_GROUPS = (
    ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Where limit and use of a container's memory are in the two versions of control groups.

The last name is that of an entry in ``memory.stat``: copies of files, which count as used and make room when asked.
"""


def free_memory(root: Path = Path("/")) -> int | None:
    """Return how many bytes a process can still take; None where the system does not say.

    Args:
        root: where the system's files lie.
    """
    available = _entry(root / "proc/meminfo", "MemAvailable:")
    found = [] if available is None else [available * 1024]
    for folder, limit, use, copies in _GROUPS:
        most, now = _read(root / folder / limit).strip(), _read(root / folder / use).strip()
        if most.isdigit() and now.isdigit():  # without a limit the file says "max"
            found.append(int(most) - int(now) + (_entry(root / folder / "memory.stat", copies) or 0))
    return max(0, min(found)) if found else None


def _entry(path: Path, name: str) -> int | None:
    """Return the number beside a name in a file of such lines."""
    for line in _read(path).splitlines():
        words = line.split()
        if words[:1] == [name]:
            return int(words[1])
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
