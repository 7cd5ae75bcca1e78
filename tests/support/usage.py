"""What a process and a folder take: memory, file handles, bytes on disk."""

from __future__ import annotations

import gc
import os
from pathlib import Path


def memory() -> float:
    """Return the memory that this process and its children have in RAM, in MiB, each to itself.

    What processes share counts for none of them: Ray's object store fills up to its size, and stays.
    """
    gc.collect()
    return sum(_own(pid) for pid in [os.getpid(), *_children()])


def handles() -> int:
    """Return how many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def size(*paths: Path) -> float:
    """Return how many bytes lie under paths, in MiB; a file with several names counts once."""
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    return sum({(stat.st_dev, stat.st_ino): stat.st_size for stat in (file.stat() for file in files)}.values()) / 2**20


def _own(pid: int) -> float:
    try:
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
    except OSError:  # it has ended
        return 0.0
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _children() -> list[int]:
    return [int(pid) for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()]
