"""Every reader of the package on thousands of damaged files: a result or an error that names the file, nothing else.

    python tests/fuzz/fuzz_readers.py --cases 10000 --seed 0 --jobs 2
    python tests/fuzz/fuzz_readers.py --seed 0 --only 1234

Cases run in processes of their own, so that a crash of a native library is counted and the others go on. Prints a table
a reader: cases, accepted, refused, tracebacks, hangs, crashes, seconds and the most memory that one case took beyond
what its process had before; ends with 1 where any case broke the contract (see `fuzzing.harness`). A case follows from the seed and its number: --only runs one again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from fuzzing.harness import ACCEPTED, HANG, LIMIT_S, REFUSED, TRACEBACK, Outcome, broken_cases, run_case
from fuzzing.make_seeds import make_seeds
from fuzzing.readers import READERS

CRASH = "crash"
MEMORY_BYTES = 4 * 2**30  # beyond what a worker has when it begins
GRACE_S = 30.0  # beyond the limit of a case, until its process is ended from outside
CLEAR_PEAK = "5"  # written to /proc/self/clear_refs on Linux: peak memory counts anew


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases and print the table; returns 1 where any broke the contract."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory() as folder:
        outcomes, peaks = run_cases(options.seed, _numbers(options), options.jobs, Path(folder), options.limit)
    for one in broken_cases(outcomes):
        print(_line(one))
        if options.only is not None:
            print(one.detail)
    print(table(outcomes, peaks))
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in outcomes]), encoding="utf-8")
    return 1 if broken_cases(outcomes) else 0


def run_cases(
    seed: int, numbers: Sequence[int], jobs: int, folder: Path, limit_s: float = LIMIT_S
) -> tuple[list[Outcome], dict[str, float]]:
    """The outcomes of cases, in order, and the most memory in MB that a case of each reader took; `jobs` processes at a time."""
    waiting, outcomes, peaks = list(reversed(numbers)), list[Outcome](), dict[str, float]()
    threads = [
        threading.Thread(target=_serve, args=(seed, waiting, outcomes, peaks, folder / str(k), limit_s))
        for k in range(jobs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(outcomes, key=lambda one: one.number), peaks


def table(outcomes: Sequence[Outcome], peaks: dict[str, float]) -> str:
    """One line a reader, and one of all."""
    endings = (ACCEPTED, REFUSED, TRACEBACK, HANG, CRASH)
    lines = [f"{'reader':<24}{'cases':>7}" + "".join(f"{ending:>11}" for ending in endings) + f"{'s':>8}{'peak MB':>9}"]
    for name in [*dict.fromkeys(reader.name for reader in READERS), "all"]:
        own = [one for one in outcomes if name in (one.reader, "all")]
        counts = Counter(one.ending for one in own)
        peak = max(peaks.values(), default=0.0) if name == "all" else peaks.get(name, 0.0)
        numbers = "".join(f"{counts[ending]:>11}" for ending in endings)
        lines.append(f"{name:<24}{len(own):>7}{numbers}{sum(one.seconds for one in own):>8.0f}{peak:>9.0f}")
    return "\n".join(lines)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first case, to go on where another call ended"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds after which a case counts as a hang")
    parser.add_argument("--only", type=int, help="run this one case and print what was raised")
    parser.add_argument("--json", type=Path, help="write every outcome here")
    return parser.parse_args(arguments)


def _numbers(options: argparse.Namespace) -> list[int]:
    if options.only is not None:
        return [options.only]
    return list(range(options.first, options.first + options.cases))


def _serve(
    seed: int, waiting: list[int], outcomes: list[Outcome], peaks: dict[str, float], folder: Path, limit_s: float
) -> None:
    """Hand cases to one process after the other, a new one after each crash and each hang that had to be ended."""
    context = get_context("spawn")
    while waiting:
        ours, theirs = context.Pipe()
        worker = context.Process(target=_work, args=(theirs, seed, folder, limit_s))
        worker.start()
        theirs.close()
        number = -1
        try:
            ours.recv()  # it is ready
            while waiting:
                number = waiting.pop()
                ours.send(number)
                if not ours.poll(limit_s + GRACE_S):
                    outcomes.append(_missing_outcome(number, HANG))
                    break
                outcome, peak = ours.recv()
                outcomes.append(outcome)
                peaks[outcome.reader] = max(peaks.get(outcome.reader, 0.0), peak)
                _say(outcomes, waiting)
            else:
                ours.send(None)
        except (EOFError, ConnectionError):
            worker.join()
            outcomes.append(_missing_outcome(number, CRASH, f"exit code {worker.exitcode}"))
        if worker.is_alive():
            worker.join(GRACE_S) if not waiting else worker.kill()
        worker.join()


def _line(one: Outcome) -> str:
    last = one.detail.strip().splitlines()[-1:] or [""]
    return f"case {one.number}: {one.reader}: {one.ending}: {last[0][:300]}"


def _missing_outcome(number: int, ending: str, detail: str = "") -> Outcome:
    return Outcome(number, READERS[number % len(READERS)].name, ending, 0.0, detail)


def _say(outcomes: Sequence[Outcome], waiting: Sequence[int]) -> None:
    """Broken cases as they come, and every 500 cases how far it is."""
    for one in broken_cases(outcomes[-1:]):
        print(_line(one), file=sys.stderr, flush=True)
    if len(outcomes) % 500 == 0:
        print(
            f"{len(outcomes)} cases done, {len(broken_cases(outcomes))} broken, {len(waiting)} left",
            file=sys.stderr,
            flush=True,
        )


def _work(connection: Connection, seed: int, folder: Path, limit_s: float) -> None:
    """One process: makes its own seeds, then takes numbers of cases and sends back outcomes with the memory that they took."""
    folder = folder / str(os.getpid())
    (folder / "sound").mkdir(parents=True)
    sound = make_seeds(folder / "sound")
    _limit_memory()
    connection.send("ready")
    while (number := connection.recv()) is not None:
        _clear_peak()
        before = _peak_mb()
        outcome = run_case(number, seed, sound, folder, limit_s)
        connection.send((replace(outcome, detail=outcome.detail[-4000:]), _peak_mb() - before))


def _limit_memory() -> None:
    """More memory than the limit raises MemoryError, which breaks the contract; Linux only."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return
    import resource

    used = int(status.read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, -1))


def _clear_peak() -> None:
    with contextlib.suppress(OSError):  # peaks then count from the worker's beginning
        Path("/proc/self/clear_refs").write_text(CLEAR_PEAK, encoding="utf-8")


def _peak_mb() -> float:
    """Peak memory (resident) of this process since `_clear_peak`, MB; 0 where the system does not report it."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


if __name__ == "__main__":
    started = time.monotonic()
    status = main()
    print(f"{time.monotonic() - started:.0f} s")
    sys.exit(status)
