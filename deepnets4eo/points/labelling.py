"""Labelling of a file of points with a labeller, tile by tile, and rewriting of the file with the labels.

Points are sorted into tiles on disk, each tile is labelled with its halo, and the file is written in its own order. An
interrupted job continues at the next tile.

Memory: a tile with its halo, and one chunk. Disk: 4 bytes per point in addition to the tiles.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import apply_affine, transformer
from deepnets4eo.jobs import Executor, FileJob, JobOutput, Progress, Scratch, SharedWork
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.outputs import Finding
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.colourise import Orthophoto
from deepnets4eo.points.files import CloudFile, open_cloud
from deepnets4eo.points.label_options import LabelOptions, LabelResult
from deepnets4eo.points.label_progress import LabelProgress, TileLabels, describe_labeller, open_labels
from deepnets4eo.points.labeller import CENT, PointLabeller, check_values, load_again
from deepnets4eo.points.tiles import sort_in_tiles

if TYPE_CHECKING:
    from deepnets4eo.points.files.las_writer import Additions


log = logging.getLogger(__name__)

POINT_BYTES = 1000  # of work for one point of a tile: coordinates, features, scores, an index of neighbours
MIN_POINTS = 10_000
SHARES = (0.3, 0.4, 0.3)  # of the time: sorting, labelling, writing


def label_cloud(
    path: str | Path,
    labeller: PointLabeller,
    out: str | Path,
    options: LabelOptions | None = None,
    *,
    orthophoto: Orthophoto | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> LabelResult:
    """Label a file of points and write it with the labels.

    The result has the points in the file's order with all that they had, and four dimensions:

    pred_class : code of the class, 255 without
    pred_prob, entropy : probability of that class, and 0 for one sure class to 1 for equal ones, in steps of 0.01
    propagated : 1 where the nearest labelled point counts

    Parameters
    ----------
    path : any file that `open_cloud` reads
    labeller : computes scores of points
    out : .laz or .las
    options : by default `LabelOptions()`
    orthophoto : colours for a labeller that needs them
    progress : called with the share done, 0–1
    executor : labels the tiles in other processes, see `jobs.executors`

    Returns
    -------
    Path and counts.

    Raises
    ------
    InputError
        The file cannot be read, or lacks what the labeller needs.
    OutputError
        The output exists, is an input, or cannot be written.
    """
    return LabelJob.plan(path, labeller, out, options or LabelOptions(), orthophoto).run(progress, executor)


@dataclass(frozen=True)
class LabelJob(FileJob[str, LabelResult]):
    """Labels of a file of points, written with all that the file has; `plan` makes the job of paths.

    Parameters
    ----------
    file : the points
    labeller : computes scores of points
    output : one file, .laz or .las
    options : neighbouring files, memory, and whether the classification is overwritten
    orthophoto : colours for a labeller that needs them
    """

    file: CloudFile
    labeller: PointLabeller
    output: JobOutput
    options: LabelOptions = LabelOptions()
    orthophoto: Orthophoto | None = None

    @classmethod
    def plan(
        cls, path: str | Path, labeller: PointLabeller, out: str | Path, options: LabelOptions = LabelOptions(),
        orthophoto: Orthophoto | None = None,
    ) -> LabelJob:  # fmt: skip
        """Return the job for these files. Errors: InputError for a file that cannot be opened, OutputError for a name that is none of LAS."""
        with name_missing_extra():
            from deepnets4eo.points.files.las_writer import Additions

            output = JobOutput(
                Additions.check_name(Path(out)), options.resume, options.overwrite, last="",
                recorded=Additions.stored_job,
            )  # fmt: skip
        return cls(open_cloud(path, crs=options.crs), labeller, output, options, orthophoto)

    @property
    def known_products(self) -> tuple[str, ...]:
        """No names: the output is one file."""
        return ()

    @property
    def sources(self) -> dict[str, Any]:
        """Points, neighbouring points and colours."""
        colours = None if self.orthophoto is None else self.orthophoto.layers
        return {"cloud": self.file.path, "neighbours": list(self.options.neighbours), "colours": colours}

    @property
    def shaping(self) -> tuple[Any, ...]:
        """The options, the labeller, and which points the orthophoto colours."""
        all_returns = self.orthophoto is not None and self.orthophoto.all_returns
        return self.options, {"labeller": describe_labeller(self.labeller), "all_returns": all_returns}

    def check_inputs(self) -> None:
        """Refuse points that the labeller cannot use or LAS cannot store, and an orthophoto of another place. Errors: InputError."""
        _check_needs(self.file, self.labeller, self.orthophoto)
        for file in (self.file, *self._neighbours):
            next(file.chunks(1))  # refuses a file without points, and coordinates that are no lengths
        check_values(self.labeller, self.file)
        self._additions().check_fit(self.file)
        if self.orthophoto is not None:
            _check_touches(self.file, self.orthophoto)

    def foresee(self) -> str:
        """Describe in lines what would be done."""
        file, legend = self.file, self.labeller.legend
        crs = file.crs.name if file.crs is not None else "no CRS, coordinates are read as metres"
        return (
            f"{file.path}: {file.point_count:,} points, {file.point_format}, {crs}\n"
            f"classes: {', '.join(f'{entry.value} {entry.name}' for entry in legend.classes)}\n"
            f"halo: {self.labeller.halo_m:g} m, {len(self.options.neighbours)} neighbouring files\n"
            f"would write {self.output.out}: pred_class, pred_prob, entropy, propagated"
            f"{', and the classification' if self.options.replace else ''}"
        )

    def make(self, scratch: Scratch, progress: Progress | None, executor: Executor | None) -> LabelResult:
        """Sort the points into tiles, label each tile, and write the file with the labels."""
        steps = _Steps(progress)
        done = self._sort(scratch, steps)
        _label(done, self.labeller, self.orthophoto, steps, executor)
        if self.orthophoto is not None:
            _check_covered(self.file, done, self.orthophoto)
        result = _count(self.output.out, self.labeller.legend, done)
        additions = self._additions(result.findings, self.output.record_text)
        _write(self.file, additions, self.output.out, done, steps, replace=self.options.replace)
        return result

    @property
    def _neighbours(self) -> list[CloudFile]:
        return [open_cloud(neighbour, crs=self.options.crs) for neighbour in self.options.neighbours]

    def _sort(self, scratch: Scratch, steps: _Steps) -> LabelProgress:
        """Sort the points into tiles, unless an interrupted run of the same job has done so, and return the job's progress."""
        neighbours, halo_m = self._neighbours, self.labeller.halo_m
        done = LabelProgress(scratch, self.file, self.labeller, neighbours, self.orthophoto)
        if not done.is_sorted:
            done.clear()
            most = max(self.options.memory_bytes // POINT_BYTES, MIN_POINTS)
            for count in sort_in_tiles(
                self.file, done.tile_folder, most_points=most, halo_m=halo_m, neighbours=neighbours
            ):
                steps(0, count / self.file.point_count)
            done.begin()
        return done

    def _additions(self, findings: tuple[Finding, ...] = (), job: str = "") -> Additions:
        """Return the dimensions that store the labels, in the order of their columns, and the findings on them."""
        from deepnets4eo.points.files.las_writer import Additions

        legend, replace = self.labeller.legend, self.options.replace
        highest_code = max(legend.values) if replace else 0
        return (
            Additions(legend=legend, highest_code=highest_code, predicted=replace, findings=findings, job=job)
            .with_dimension("pred_class", "uint8", "code of the class, 255 none")
            .with_dimension("pred_prob", "uint8", "probability of the class", 1 / CENT)
            .with_dimension("entropy", "uint8", "0 sure to 1 all alike", 1 / CENT)
            .with_dimension("propagated", "uint8", "1: label of the nearest point")
        )


def _check_needs(file: CloudFile, labeller: PointLabeller, orthophoto: Orthophoto | None) -> None:
    """Raise InputError, naming the remedy, where a file and its orthophoto lack what a labeller needs."""
    has = {*file.measurements, *(orthophoto.measurements if orthophoto is not None else ())}
    missing = [name for name in labeller.needs if name not in has]
    if missing:
        remedy = (
            "Add colours of an orthophoto (--colour ORTHO.tif, --infrared IRC.tif), or choose a model without them."
            if {*missing} & {"colour", "near_infrared"}
            else "Choose a model that was trained without it."
        )
        raise InputError(
            f"{file.path} has no {' and no '.join(name.replace('_', ' ') for name in missing)}, which the model needs. {remedy}"
        )


class _Steps:
    """Progress of three steps, one after the other."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def __call__(self, step: int, share: float) -> None:
        if self._progress is not None:
            self._progress(min(sum(SHARES[:step]) + SHARES[step] * share, 1.0))


def _label(
    done: LabelProgress,
    labeller: PointLabeller,
    orthophoto: Orthophoto | None,
    steps: _Steps,
    executor: Executor | None,
) -> None:
    tiles = done.open_tiles()
    numbers = [str(tile.number) for tile in tiles.tiles]
    shared = SharedWork(executor, done.labelled_folder.absolute())
    if executor is None:
        results = shared.results(nullcontext, (TileLabels(tiles, labeller, orthophoto),), numbers)
    else:
        results = shared.results(open_labels, (done.open_tiles, load_again(labeller), orthophoto), numbers)
    done.begin_labels()
    for position, arrays in enumerate(results, start=1):
        done.store(arrays)
        steps(1, position / len(tiles.tiles))


def _check_touches(file: CloudFile, orthophoto: Orthophoto) -> None:
    """Raise InputError if an orthophoto lies outside the bounds of the points, compared in the CRS of the orthophoto."""
    (x0, y0, _), (x1, y1, _) = file.bounds
    for layer in orthophoto.layers:
        low, high = np.array([x0, y0]), np.array([x1, y1])
        if file.crs is not None and layer.grid.crs is not None:
            box = transformer(file.crs, layer.grid.crs.proj).transform_bounds(x0, y0, x1, y1)
            low, high = np.array(box[:2]), np.array(box[2:])
        rows, cols = layer.shape
        corners = apply_affine(layer.grid.affine, np.array([[0, 0], [cols, 0], [0, rows], [cols, rows]], np.float64))
        if (low > corners.max(axis=0)).any() or (high < corners.min(axis=0)).any():
            raise InputError(f"{layer.source} covers no point of {file.path}. Check the CRS of both (--crs).")


def _check_covered(file: CloudFile, done: LabelProgress, orthophoto: Orthophoto) -> None:
    """Warn about points without colour; raise InputError if every point is without colour."""
    without = done.without_colour
    names = " and ".join(str(layer.source) for layer in orthophoto.layers)
    if without == done.open_tiles().own_points:
        raise InputError(f"{names} covers no point of {file.path}. Check the CRS of both (--crs).")
    if without:
        log.warning("%s of %s points lie beyond %s and count as black.", f"{without:,}", f"{file.point_count:,}", names)


def _write(
    file: CloudFile, additions: Additions, out: Path, done: LabelProgress, steps: _Steps, *, replace: bool
) -> None:
    labels = done.labels()

    def values(points: slice, cloud: PointCloud | None) -> dict[str, NDArray[Any]]:
        return additions.columns(labels[points])

    additions.write(
        file, out, values, classes=("pred_class", VOID) if replace else None,
        progress=lambda share: steps(2, share),
    )  # fmt: skip


def _count(out: Path, legend: Legend, done: LabelProgress) -> LabelResult:
    codes, propagated = np.zeros(256, np.int64), 0
    labels = done.labels()
    for start in range(0, len(labels), 1 << 22):
        part = labels[start : start + (1 << 22)]
        codes += np.bincount(part[:, 0], minlength=256)
        propagated += int(part[:, 3].sum())
    counts = {entry.name: int(codes[entry.value]) for entry in legend.classes if codes[entry.value]}
    noise = sum(int(codes[code]) for code in PointCloud.noise_codes if code not in legend.values)
    withheld = len(labels) - done.open_tiles().own_points
    without = int(codes[VOID]) - withheld
    return LabelResult(out, len(labels), counts, propagated, without, done.without_colour, noise, withheld)
