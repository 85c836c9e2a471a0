"""Parts of a prediction that a call computes, and the journals of finished rows next to the output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepnets4eo.errors import OutputError
from deepnets4eo.jobs import Part, RowJournal
from deepnets4eo.prediction.options import PredictOptions


def goes_on(options: PredictOptions) -> bool:
    """Return whether finished work is used: if the user requests it, or if a part is started again."""
    return options.resume or (options.part is not None and not options.overwrite)


def journals_of(out: Path, options: PredictOptions) -> dict[Part, RowJournal]:
    """Return the journals of the parts that this call computes; raise OutputError if the job was divided in another way."""
    if options.overwrite and options.part is None and not options.resume:
        RowJournal.remove_parts(out)
    kept = RowJournal.parts(out) if goes_on(options) else []
    if options.part is not None and kept and kept[0].total != options.part.total:
        raise OutputError(
            f"{out} was divided into {kept[0].total} parts before, now into {options.part.total}. Give the same number, or begin again "
            "with --overwrite in place of --part."
        )
    parts = [options.part] if options.part is not None else kept or [Part.whole]
    return {part: RowJournal(out, part) for part in parts}


def begun_job(
    out: Path, options: PredictOptions, journals: Mapping[Part, RowJournal], resumed: Sequence[bool]
) -> Mapping[str, Any]:
    """Return how the job is computed that was begun, of another part if this part was not; {} for a new job."""
    for journal, loaded in zip(journals.values(), resumed, strict=True):
        if loaded:
            return computed_by(journal)
    others = RowJournal.parts(out) if options.part is not None and goes_on(options) else []
    for journal in (RowJournal(out, part) for part in others):
        if journal.load():
            return computed_by(journal)
    return {}


def computed_by(journal: RowJournal) -> dict[str, Any]:
    """Return how the job of a journal is computed: device, precision, runtime, tiles at once and threads."""
    record = journal.begun
    return {} if record is None else {**record.options["compute"], "threads": journal.job.get("threads")}
