"""The hidden folders of a job, beside its output: what an interrupted job has finished, and products until all are there."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.files import PARTIAL, atomic_write, check_overwrite, check_own_folder, partial_path, remove, writing
from deepnets4eo.jobs.lock import scratch_home
from deepnets4eo.jobs.parts import PART_MARK
from deepnets4eo.outputs.findings import count_of, one_or_many


def scratch_folder(out: Path) -> Path:
    """Where a job into `out` keeps what it has finished."""
    return scratch_home(out) / f"{PARTIAL}scratch-{out.name}"


def was_interrupted(out: Path) -> bool:
    """Whether a job into `out` was stopped before all its products were written."""
    return scratch_folder(out).is_dir() and not (out / "manifest.json").exists()


def is_complete(out: Path) -> bool:
    """Whether a job into `out` has written all its products, the manifest last."""
    return (out / "manifest.json").exists() and not scratch_folder(out).is_dir()


def check_job_output(out: Path, *, overwrite: bool, resume: bool) -> bool:
    """Whether products in `out` are replaced; OutputError where they may not, CompleteError when all is done."""
    replaced = overwrite or (resume and was_interrupted(out))
    check_overwrite(out, overwrite=replaced, complete=resume and is_complete(out))
    return replaced


def check_parts(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse (OutputError) a new job into `out` that would remove parts that are done, or their map an older one."""
    done = len(list(scratch_folder(out).glob(f"*/{PART_MARK}*")))
    if not done or overwrite or (resume and was_interrupted(out)):
        return
    parts = f"{count_of(done, 'part')} of a job into {out} {one_or_many(done, 'is', 'are')} done"
    if (out / "manifest.json").exists():
        raise OutputError(f"{out} exists already, and {parts}. Pass --resume --overwrite to replace it by their map.")
    raise OutputError(f"{parts}. Pass --resume to make the map of them, or --overwrite to begin again.")


@contextmanager
def part_scratch(out: Path) -> Iterator[Path]:
    """Yield the scratch folder of a job that several processes share; it stays."""
    scratch = scratch_folder(out)
    check_own_folder(scratch)
    try:
        yield scratch
    except OutputError as error:
        raise OutputError(f"{error} What is done is kept: start the part again then.") from error


@contextmanager
def job_scratch(out: Path, *, resume: bool) -> Iterator[Path]:
    """Yield the job's scratch folder, emptied unless resumed; removed when done or when a new job's inputs are refused."""
    scratch = scratch_folder(out)
    if not resume:
        with writing(scratch):
            remove(scratch)
    check_own_folder(scratch)
    new = not scratch.exists()
    try:
        yield scratch
    except InputError:
        if new:
            with suppress(OSError):
                remove(scratch)
        raise
    except OutputError as error:
        if "--resume" in str(error) or not scratch.is_dir():
            raise
        raise OutputError(f"{error} What is done is kept: go on with --resume then.") from error
    with suppress(OSError):
        remove(scratch)


@contextmanager
def hidden_folder(out_dir: Path, kept: Path | None = None) -> Iterator[Path]:
    """A folder for products beside `out_dir`; nothing of it stays on failure unless it is `kept`."""
    hidden = kept or partial_path(scratch_home(out_dir) / out_dir.name)
    try:
        with writing(out_dir):
            hidden.mkdir(parents=True, exist_ok=True)
            yield hidden
    finally:
        if kept is None:
            shutil.rmtree(hidden, ignore_errors=True)


def publish(hidden: Path, out_dir: Path, names: Sequence[str], obsolete: Iterable[str] = ()) -> None:
    """Move products to `out_dir`: at once where it is new, else the last name, which says all are there, last; `obsolete` go."""
    for left in hidden.glob(f"{PARTIAL}*"):  # half-written by a job that was killed
        left.unlink()
    if not out_dir.exists():
        hidden.rename(out_dir)
        return
    (out_dir / names[-1]).unlink(missing_ok=True)
    for name in obsolete:
        (out_dir / name).unlink(missing_ok=True)
    for name in names:
        with atomic_write(out_dir / name) as partial:
            shutil.move(hidden / name, partial)  # copies where the folder is a volume of its own
