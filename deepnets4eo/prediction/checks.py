"""Checks before a prediction: outputs that are inputs or already exist, and loss of an interrupted job's finished work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.files import check_overwrite
from deepnets4eo.jobs import JobRecord, Part, RowJournal
from deepnets4eo.outputs import check_not_inputs, label_raster_files
from deepnets4eo.prediction.begun_parts import journals_of
from deepnets4eo.prediction.options import PredictOptions
from deepnets4eo.prediction.outputs import Product
from deepnets4eo.rasters import Scene, check_raster_suffix
from deepnets4eo.segmenters import Run, Segmenter


def check_outputs(
    out: str | Path, options: PredictOptions, inputs: Sequence[Run | Segmenter | Scene | str | Path]
) -> None:
    """Refuse the outputs that `predict` would refuse, without its work: files that exist, or are inputs, and lost progress.

    Errors: OutputError (an output or the progress of an interrupted job exists, or an output is an input).

    Parameters
    ----------
    out : the label raster
    options : as given to `predict`
    inputs : the scene, and every run or its folder

    Examples
    --------
    >>> check_outputs("labels.tif", PredictOptions(), ["runs/unet"])
    """
    paths = output_paths(out, options)
    resumed = options.resume and any(journal.is_begun for journal in journals_of(Path(out), options).values())
    check_free(out, paths, options, inputs, resumed=resumed)


def output_paths(out: str | Path, options: PredictOptions, legend: Legend | None = None) -> dict[str, Path]:
    """Return the file of each product, `out` first. Errors: InputError for products that a run of this legend does not have."""
    paths = {
        Product.labels: out,
        Product.values: options.values,
        Product.probabilities: options.probabilities,
        Product.entropy: options.entropy,
    }
    if legend is not None and not legend.classes:
        if options.values or options.probabilities or options.entropy:
            raise InputError(
                f"the run estimates {legend.name} and has no classes: --out is its raster. Leave out --values, --probabilities and "
                "--entropy."
            )
        return {Product.values: Path(out)}
    if legend is not None and legend.quantity is None and options.values:
        raise InputError(f"--values {options.values}: the run has only classes, {legend.name}. Leave it out.")
    return {name: Path(path) for name, path in paths.items() if path is not None}


def is_complete(paths: Mapping[str, Path], options: PredictOptions) -> bool:
    """Return whether all rasters of a job to resume are there, so that it may be complete; `check_complete` decides."""
    resumes = options.resume and not options.overwrite and options.part is None
    return resumes and all(path.is_file() for path in paths.values())


def finished_compute(paths: Mapping[str, Path], options: PredictOptions) -> Mapping[str, Any]:
    """Return how the rasters that are there were computed; {} if that is not known, or nothing is to be resumed."""
    record = JobRecord.of_raster(next(iter(paths.values()))) if is_complete(paths, options) else None
    compute = {} if record is None else record.options.get("compute")
    return compute if isinstance(compute, Mapping) else {}


def check_complete(record: JobRecord, paths: Mapping[str, Path]) -> None:
    """Raise CompleteError if all rasters are of this record, OtherJobError naming what differs if one is not."""
    record.check_complete({path: JobRecord.of_raster(path) for path in paths.values()})


def check_free(
    out: str | Path, paths: Mapping[str, Path], options: PredictOptions, inputs: Sequence[Any], *, resumed: bool
) -> None:
    """Refuse outputs that are inputs or exist, and to discard what an interrupted job has finished."""
    written = [*label_raster_files(Path(out)), *(path for path in paths.values() if path != Path(out))]
    read = [item.folder if isinstance(item, Run) else item for item in inputs]
    check_not_inputs(written, [list(item.layers.values()) if isinstance(item, Scene) else item for item in read])
    complete, begun = not resumed and is_complete(paths, options), RowJournal(Path(out)).is_begun
    for path in paths.values():
        check_overwrite(
            check_raster_suffix(path), overwrite=options.overwrite or complete, resume=resumed if begun else None
        )
    if options.part is None:
        for part in [Part.whole, *RowJournal.parts(Path(out))]:
            RowJournal(Path(out), part).check_kept(overwrite=options.overwrite, resume=options.resume)
