"""The scratch folder of a job, beside its output: what an interrupted job has finished, so that it goes on from there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.files import PARTIAL
from deepnets4eo.outputs.lock import scratch_home


def scratch_folder(out: Path) -> Path:
    """Where a job into `out` keeps what it has finished."""
    return scratch_home(out) / f"{PARTIAL}scratch-{out.name}"


def was_interrupted(out: Path) -> bool:
    """Whether a job into `out` was stopped before all its products were written."""
    return scratch_folder(out).is_dir() and not (out / "manifest.json").exists()


@contextmanager
def job_scratch(out: Path, *, resume: bool) -> Iterator[Path]:
    """Yield the scratch folder of a job into `out`, emptied unless the job is to be resumed.

    It is removed when the job is done, and when its inputs are refused: these must change, and all is made again.
    """
    scratch = scratch_folder(out)
    if not resume:
        shutil.rmtree(scratch, ignore_errors=True)
    try:
        yield scratch
    except InputError:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    except OutputError as error:
        if "--resume" in str(error) or not scratch.is_dir():
            raise
        raise OutputError(f"{error} What is done is kept: go on with --resume then.") from error
    shutil.rmtree(scratch, ignore_errors=True)
