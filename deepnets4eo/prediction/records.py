"""Which records of finished rows a prediction goes on with: its own, its part's, or those of all parts of a divided job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepnets4eo.errors import OutputError
from deepnets4eo.jobs.parts import WHOLE, Part
from deepnets4eo.jobs.progress_file import ProgressFile
from deepnets4eo.prediction.options import PredictOptions


def goes_on(options: PredictOptions) -> bool:
    """Whether what is finished is used: where the user says so, and by a part that is started again."""
    return options.resume or (options.part is not None and not options.overwrite)


def records_of(out: Path, options: PredictOptions) -> dict[Part, ProgressFile]:
    """The records of the parts that this call computes: of its own part, or of all that the job was divided into.

    Errors: OutputError where it was divided in another way.
    """
    if options.overwrite and options.part is None and not options.resume:
        ProgressFile.remove_parts(out)
    kept = ProgressFile.parts(out) if goes_on(options) else []
    if options.part is not None and kept and kept[0].total != options.part.total:
        raise OutputError(
            f"{out} was divided into {kept[0].total} parts before, now into {options.part.total}. Give the same number, or begin again "
            "with --overwrite in place of --part."
        )
    parts = [options.part] if options.part is not None else kept or [WHOLE]
    return {part: ProgressFile(out, part) for part in parts}


def begun_job(
    out: Path, options: PredictOptions, records: Mapping[Part, ProgressFile], resumed: Sequence[bool]
) -> Mapping[str, Any]:
    """The description of the job as it was begun, of another part where this one was not; {} of a new job."""
    for record, loaded in zip(records.values(), resumed, strict=True):
        if loaded:
            return record.job
    others = ProgressFile.parts(out) if options.part is not None and goes_on(options) else []
    for record in (ProgressFile(out, part) for part in others):
        if record.load(cut=False):
            return record.job
    return {}
