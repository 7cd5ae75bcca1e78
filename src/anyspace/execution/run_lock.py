"""A lock on a run folder that ends with the process that holds it, however that ends."""

from __future__ import annotations

import errno
import functools
import logging
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from anyspace.errors import ConfigError

_LOG = logging.getLogger("anyspace")

FILE = "run.lock"

_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
"""What locking says of a lock that another process holds."""
_held: set[int] = set()
"""File descriptors of the locks of this process."""


class RunLock:
    """The only writer of a run folder.

    The operating system holds the lock: it ends with the process, even by ``kill -9``. Where the folder's file system
    has no locks, a warning says so and nothing is locked.

    Args:
        folder: an existing folder.

    Raises:
        ConfigError: another process, or another algorithm of this process, is writing into the folder.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path):
        self._folder, self._file = folder, folder.absolute() / FILE
        self._descriptor = self._locked()
        _close_in_forked_processes()
        _held.add(self._descriptor)
        holder = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
        try:
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, holder.encode())
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Give the folder up and remove the lock's file."""
        if self._descriptor not in _held:
            return
        _held.discard(self._descriptor)
        # Removed while it is locked: whoever opened it meanwhile finds that it is another file now, and tries again.
        with suppress(OSError):
            self._file.unlink()
        with suppress(OSError):
            os.close(self._descriptor)

    def _locked(self) -> int:
        """Return the descriptor of the lock's file, locked."""
        while True:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock(descriptor)
                if _is_file(descriptor, self._file):
                    return descriptor
            except OSError as error:
                if error.errno not in _BUSY:
                    _LOG.warning(
                        f"{self._folder} cannot be locked ({error.strerror}), as on some network file systems:"
                        " make sure yourself that no other run writes into this folder."
                    )
                    return descriptor
                holder = os.read(descriptor, 1000).decode(errors="replace") or "another process"
                os.close(descriptor)
                raise ConfigError(
                    f"{self._folder} is being written by {holder}, and two runs in one folder would destroy each"
                    " other's files. Wait for its end, stop it, or choose another --out (in Python: `out`)."
                ) from None
            os.close(descriptor)


def _is_file(descriptor: int, file: Path) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # a locked byte cannot be read by others: one far behind the text
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@functools.cache
def _close_in_forked_processes() -> None:
    """See to it that forked processes, such as environments', close the locks: they may outlive the run."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_close_all)


def _close_all() -> None:
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()
