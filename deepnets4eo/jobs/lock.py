"""Lock that lets one job at a time write an output: a second job is refused at once, with the process of the first.

The system locks a small file next to the output, so that the lock ends with its process.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from deepnets4eo.errors import LockedError
from deepnets4eo.files import PARTIAL, open_own, remove_leftovers, writing
from deepnets4eo.system import lock_at_once

log = logging.getLogger(__name__)

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}

_locked: ContextVar[frozenset[Path]] = ContextVar("outputs that this job has locked", default=frozenset())


@contextmanager
def output_lock(*outputs: str | Path | None, shared: bool = False) -> Iterator[None]:
    """Lock outputs for this job within the context; half-written files of killed jobs are removed first.

    A job may lock an output twice, as its parts do. On a file system without locks there is a warning, and no
    protection.

    Errors: OutputError where another job writes one of them, or nothing can be written there.

    Parameters
    ----------
    outputs : files or folders that may not exist yet; None is ignored
    shared : whether other jobs that share the lock may have it as well, as parts of one job do

    >>> with output_lock("labels.tif"):
    ...     pass  # write labels.tif
    """
    paths = {Path(os.path.realpath(out)) for out in outputs if out is not None} - _locked.get()
    with ExitStack() as stack:
        for out in sorted(paths):  # in one order, so that two jobs never wait for each other
            stack.enter_context(_lock_one(out, shared=shared))
            if not shared:
                remove_leftovers(out)
        token = _locked.set(_locked.get() | paths)
        try:
            yield
        finally:
            _locked.reset(token)


def scratch_home(out: Path) -> Path:
    """Return the folder for a job's own files next to `out`: `out` itself if it is a volume, or its parent is read-only."""
    inside = out.is_dir() and (os.path.ismount(out) or not os.access(out.parent, os.W_OK))
    return out if inside else out.parent


@contextmanager
def _lock_one(out: Path, *, shared: bool) -> Iterator[None]:
    path = scratch_home(out) / f"{PARTIAL}lock-{out.name}"
    new_folders = [folder for folder in path.parents if not folder.exists()]
    with writing(out):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _acquire(path, out, shared=shared)
    try:
        yield
    finally:
        if shared:  # the file goes with the job that does not share
            os.close(file)
        else:
            _release(file, path)
        for folder in new_folders:  # of a job that wrote nothing
            with suppress(OSError):
                folder.rmdir()


def _acquire(path: Path, out: Path, *, shared: bool) -> int:
    """Open and lock the lock file, and return it. Raises OutputError, which names the process that has it."""
    while True:
        file = open_own(path, os.O_RDWR | os.O_CREAT)
        if not _try_lock(file, shared=shared):
            holder = _read_process(file)
            os.close(file)
            raise LockedError(
                f"{out} is being written by another job{holder}. Wait until it is done, stop it, or choose another path."
            )
        if not _is_at(file, path):  # the job before has just removed it: there is a new file, or none
            os.close(file)
            continue
        try:
            _write_process(file)
        except OSError:
            _release(file, path)
            raise
        return file


def _release(file: int, path: Path) -> None:
    if sys.platform == "win32":  # an open file cannot be removed there; one that the next job has opened stays
        os.close(file)
        with suppress(OSError):
            path.unlink()
        return
    with suppress(OSError):
        path.unlink()
    os.close(file)


def _try_lock(file: int, *, shared: bool) -> bool:
    """Return whether this process has the lock now; True with a warning if the file system has no locks."""
    try:
        lock_at_once(file, shared=shared)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EAGAIN, errno.EDEADLK}:
            return False
        if error.errno not in NO_LOCKS:
            os.close(file)
            raise
        log.warning("The file system has no locks: do not run two jobs into one output.")
    return True


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except FileNotFoundError:
        return False


def _write_process(file: int) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now})
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    os.write(file, text.encode())


def _read_process(file: int) -> str:
    os.lseek(file, 0, os.SEEK_SET)
    try:
        process = json.loads(os.read(file, 4096))
        return f" (process {process['pid']} on {process['host']}, since {process['since']})"
    except (ValueError, KeyError, TypeError):  # it has just begun
        return ""
