"""Functions of this process, and those that differ between operating systems, with fallbacks for missing ones: locks, cores, memory,
groups of processes.

The only module that imports modules missing on some systems; a test finds such imports elsewhere."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from deepnets4eo.errors import InputError

LOCKED_BYTE = 1 << 20  # far behind the file's text: on Windows others cannot read bytes that are locked
TIME_VARIABLE = "SOURCE_DATE_EPOCH"
END_S = 253_402_300_800  # of the year 10000, since 1970
MAX_SHARED = 1 << 20  # processes on Windows that share a lock


def lock_at_once(file: int, *, shared: bool) -> None:
    """Lock an open file (its descriptor) without waiting; OSError where another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        msvcrt = import_module("msvcrt")
        # there are no shared locks: who shares locks one byte of its own, who does not all of them
        first, length = (LOCKED_BYTE + os.getpid() % MAX_SHARED, 1) if shared else (LOCKED_BYTE, MAX_SHARED)
        os.lseek(file, first, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, length)
    else:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def stated_time() -> datetime | None:
    """Return the time of SOURCE_DATE_EPOCH, which reproducible builds state; None if it is not set. Errors: InputError for no time."""
    stated = os.environ.get(TIME_VARIABLE)
    if stated == "":  # means that none is stated, but fontTools and others take it for a number
        del os.environ[TIME_VARIABLE]
    if not stated:
        return None
    try:
        seconds = int(stated)
        if not 0 <= seconds < END_S:
            raise ValueError(stated)
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise InputError(
            f"{TIME_VARIABLE} is {stated!r}, expected whole seconds since 1970, such as 1700000000. Set it so, or unset it."
        ) from None


def file_time(path: Path) -> datetime | None:
    """Return when a file was changed last, in whole seconds; None before 1970 and beyond the year 9999, which no product can state."""
    seconds = path.stat().st_mtime
    return datetime.fromtimestamp(int(seconds), UTC) if 0 <= seconds < END_S else None


def cores() -> int:
    """Return the number of cores that this process may use if the system limits it; else of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def take_share_of_cores(number: int, workers: int) -> None:
    """Keep this process, the `number`-th of `workers` (from 0), to its share of the cores, if possible."""
    if hasattr(os, "sched_setaffinity"):
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(allowed)[number % workers :: workers] or allowed)


def peak_bytes() -> int:
    """Return the peak memory of this process, or else its present memory, in bytes."""
    import psutil  # the start of the command line needs the number of cores alone

    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):  # Windows
        return int(memory.peak_wset)
    try:
        import resource  # psutil has no peak on POSIX
    except ImportError:
        return int(memory.rss)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def leave_terminal() -> None:
    """Put this process into its own group, so that Ctrl-C reaches only its caller, which passes it on."""
    if os.name == "posix":
        os.setpgrp()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it


def spare_collections() -> None:
    """Leave loaded modules out of every collection of garbage, and all objects out of the one when this process ends.

    Only for processes that the toolbox starts. The system takes all memory back at the end, and modules are never garbage, but Python goes over each
    of their objects: 0.2 of the 0.8 processor seconds of `check`, 0.3 of 1.6 of a dry run (Zen 5, 30 November 2026).
    """
    gc.freeze()
    atexit.register(gc.freeze)
