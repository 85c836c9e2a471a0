"""One case: a copy of sound files, one or more of them damaged, given to one reader; and the outcome.

The contract: a reader returns, or raises a DeepNets4EOError; the command line returns 0, 1, 2, 3 or 130 and prints no
traceback. Anything else is a `traceback`; a case that takes longer than the limit is a `hang`. A case follows from its
seed and number alone, so that one can be run again by itself.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
from numpy.random import Generator

from deepnets4eo.errors import DeepNets4EOError
from fuzzing.file_mutators import mutate_path
from fuzzing.reader import Reader
from fuzzing.readers import READERS
from fuzzing.seed import Seed

ACCEPTED, REFUSED, TRACEBACK, HANG = "accepted", "refused", "traceback", "hang"
LIMIT_S = 60.0


class HangError(BaseException):
    """A case takes longer than its limit; no `except Exception` may take it for an error of the file."""


@dataclass(frozen=True)
class Outcome:
    """How a case ended: one of the four words, its seconds, and what was raised."""

    number: int
    reader: str
    ending: str
    seconds: float
    detail: str = ""


def run_case(number: int, seed: int, sound: dict[str, list[Seed]], work: Path, limit_s: float = LIMIT_S) -> Outcome:
    """Damage a copy of one reader's files under `work` and read them. sound : see `make_seeds`."""
    rng = np.random.default_rng([seed, number])
    reader = READERS[number % len(READERS)]
    folder = work / f"case-{number}"
    main = damaged_copy(reader, sound, folder, rng)
    started = time.perf_counter()
    ending, detail = read_within(reader, main, folder / "out", sound, limit_s)
    seconds = time.perf_counter() - started
    shutil.rmtree(folder, ignore_errors=True)
    return Outcome(number, reader.name, ending, seconds, detail)


def damaged_copy(reader: Reader, sound: dict[str, list[Seed]], folder: Path, rng: Generator) -> Path:
    """Copy one of the reader's seeds to a new folder and damage some of its files; returns its main path."""
    choices = [seed for kind in reader.kinds for seed in sound[kind]]
    chosen = choices[int(rng.integers(len(choices)))]
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(chosen.folder, folder / "in")
    main = folder / "in" / chosen.main
    files = sorted(path for path in (folder / "in").rglob("*") if path.is_file())
    others = [path for seeds in sound.values() for seed in seeds for path in seed.files]
    for _ in range(int(rng.choice([1, 1, 1, 2]))):
        path = files[int(rng.integers(len(files)))]
        if path.is_file():
            moved = mutate_path(path, rng, others)
            main = moved if path == main else main
    if chosen.finish is not None and rng.random() < 0.8:
        chosen.finish(main)
    return main


def read_within(
    reader: Reader, main: Path, out: Path, sound: dict[str, list[Seed]], limit_s: float = LIMIT_S
) -> tuple[str, str]:
    """How a reader takes a path: the ending and, where it is not good, what was raised and where."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        with alarm(limit_s), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(main, out, sound)
    except DeepNets4EOError as error:
        return REFUSED, str(error)
    except HangError:
        return HANG, "".join(traceback.format_exc())
    except (Exception, SystemExit):  # every other exception breaks the contract
        return TRACEBACK, traceback.format_exc()
    return ACCEPTED, ""


@contextmanager
def alarm(limit_s: float) -> Iterator[None]:
    """Raise HangError after a time, where the system has such alarms (in the main thread of POSIX systems)."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def broken_cases(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes that break the contract."""
    return [one for one in outcomes if one.ending not in (ACCEPTED, REFUSED)]
