"""Label a file of points with a labeller, tile by tile, and write it again with the labels.

Points are sorted into tiles on disk, each tile is labelled with its halo, and the file is written in its own order. An
interrupted job goes on at the next tile.

Memory: a tile with its halo, and one chunk. Disk: 4 bytes a point beside the tiles.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.device import Compute, torch_settings
from deepnets4eo.errors import InputError
from deepnets4eo.files import remove, writing
from deepnets4eo.grid import apply_affine, transformer
from deepnets4eo.jobs.blocks import Executor
from deepnets4eo.jobs.journal import Journal
from deepnets4eo.jobs.output import JobOutput, Scratch
from deepnets4eo.jobs.shared_work import Arrays, SharedWork
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.options import option_group
from deepnets4eo.points.cloud import NOISE_CODES, PointCloud, has_asprs_noise
from deepnets4eo.points.colourise import Orthophoto
from deepnets4eo.points.files import CloudFile, open_cloud
from deepnets4eo.points.labeller import CENT, PointLabeller, label_tile, load_again, load_labeller, run_digest
from deepnets4eo.points.tiles import TiledPoints, sort_in_tiles

if TYPE_CHECKING:
    from deepnets4eo.points.files.las_writer import Additions


log = logging.getLogger(__name__)

POINT_BYTES = 1000  # of work for one point of a tile: coordinates, features, scores, an index of neighbours
LEAST_POINTS = 10_000
SHARES = (0.3, 0.4, 0.3)  # of the time: sorting, labelling, writing

LABELS = "labels.npy"
SORTED = "sorted"  # the block that says that all points are sorted
WITHOUT_COLOUR = "without_colour"


def label_cloud(
    path: str | Path,
    labeller: PointLabeller,
    out: str | Path,
    options: LabelOptions | None = None,
    *,
    orthophoto: Orthophoto | None = None,
    progress: Callable[[float], None] | None = None,
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
    with name_missing_extra():
        from deepnets4eo.points.files.las_writer import check_suffix, make_header

        out = check_suffix(Path(out))
    options = options or LabelOptions()
    output = _checked_output(path, out, options, orthophoto)
    file = open_cloud(path, crs=options.crs)
    check_needs(file, labeller, orthophoto)
    file.check_not_empty()
    _check_values(file, labeller)
    make_header(file, _additions(labeller.legend, replace=options.replace))  # refuses what could not be written later
    with output.begin() as scratch:
        steps = _Steps(progress)
        done = _sort(file, labeller, options, scratch, steps, orthophoto)
        _label(done, labeller, orthophoto, steps, executor)
        if orthophoto is not None:
            _check_covered(file, done, orthophoto)
        _write(file, labeller.legend, out, done, steps, replace=options.replace)
        return _count(out, labeller.legend, done)


def _checked_output(path: str | Path, out: Path, options: LabelOptions, orthophoto: Orthophoto | None) -> JobOutput:
    """The output, which is no input, and does not exist unless its job goes on. Errors: OutputError."""
    output = JobOutput(out, options.resume, options.overwrite, last="")
    output.check_apart((), path, options.neighbours, None if orthophoto is None else orthophoto.layers)
    output.check()
    return output


def describe_labelling(
    path: str | Path,
    labeller: PointLabeller,
    out: str | Path,
    options: LabelOptions | None = None,
    *,
    orthophoto: Orthophoto | None = None,
) -> str:
    """Checks the inputs of `label_cloud` and returns what it would do.

    Parameters
    ----------
    path, labeller, out, options, orthophoto : the same as in `label_cloud`

    Returns
    -------
    Lines of text.

    Raises
    ------
    InputError, OutputError
        The same as in `label_cloud`.
    """
    with name_missing_extra():
        from deepnets4eo.points.files.las_writer import check_suffix

        check_suffix(Path(out))
    options = options or LabelOptions()
    _checked_output(path, Path(out), options, orthophoto)
    file = open_cloud(path, crs=options.crs)
    check_needs(file, labeller, orthophoto)
    next(file.chunks(1))  # refuses a file without points, and coordinates that are no lengths
    _check_values(file, labeller)
    for neighbour in options.neighbours:
        next(open_cloud(neighbour, crs=options.crs).chunks(1))
    if orthophoto is not None:
        _check_touches(file, orthophoto)
    crs = file.crs.name if file.crs is not None else "no CRS, coordinates are read as metres"
    return (
        f"{file.path}: {file.point_count:,} points, {file.point_format}, {crs}\n"
        f"classes: {', '.join(f'{one.value} {one.name}' for one in labeller.legend.classes)}\n"
        f"halo: {labeller.halo_m:g} m, {len(options.neighbours)} neighbouring files\n"
        f"would write {out}: pred_class, pred_prob, entropy, propagated"
        f"{', and the classification' if options.replace else ''}"
    )


def check_needs(file: CloudFile, labeller: PointLabeller, orthophoto: Orthophoto | None) -> None:
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


def _check_values(file: CloudFile, labeller: PointLabeller) -> None:
    """Let a labeller that knows the values of its training say where those of a file are of another kind."""
    if (check := getattr(labeller, "check_values", None)) is not None:
        check(file)


class _Steps:
    """Progress of three steps, one after the other."""

    def __init__(self, progress: Callable[[float], None] | None) -> None:
        self._progress = progress

    def __call__(self, step: int, share: float) -> None:
        if self._progress is not None:
            self._progress(min(sum(SHARES[:step]) + SHARES[step] * share, 1.0))


def _sort(
    file: CloudFile,
    labeller: PointLabeller,
    options: LabelOptions,
    scratch: Scratch,
    steps: _Steps,
    orthophoto: Orthophoto | None,
) -> LabelProgress:
    """The progress of a job whose points are sorted, of an interrupted one where it is the same job."""
    neighbours = [open_cloud(each, crs=options.crs) for each in options.neighbours]
    done = LabelProgress(scratch, file, labeller, neighbours, orthophoto)
    if not done.is_sorted:
        done.clear()
        most = max(options.memory_bytes // POINT_BYTES, LEAST_POINTS)
        for count in sort_in_tiles(
            file, done.tile_folder, most_points=most, halo_m=labeller.halo_m, neighbours=neighbours
        ):
            steps(0, count / file.point_count)
        done.begin()
    return done


@dataclass(frozen=True)
class TileLabels:
    """Labels the sorted points of a file, tile by tile."""

    tiles: TiledPoints
    labeller: PointLabeller
    orthophoto: Orthophoto | None

    def __call__(self, number: str) -> dict[str, NDArray[Any]]:
        """`index` (n,) of the points of a tile in the file, `labels` (n, 4), and how many are without colour."""
        points = self.tiles.read(self.tiles.tile(int(number)), self.labeller.halo_m)
        if points is None:
            return {"index": np.zeros(0, np.uint64), "labels": np.zeros((0, 4), np.uint8), WITHOUT_COLOUR: np.array(0)}
        cloud, own, without = points.cloud, len(points.index), 0
        if self.orthophoto is not None:
            cloud, without = self.orthophoto.colourise(cloud, own)
        return {
            "index": points.index, "labels": label_tile(self.labeller, cloud, own), WITHOUT_COLOUR: np.array(without)
        }  # fmt: skip


@contextmanager
def open_labels(
    open_tiles: Callable[[], TiledPoints], source: str, orthophoto: Orthophoto | None
) -> Iterator[TileLabels]:
    """In a worker: load the labeller and yield what labels tiles."""
    labeller = load_labeller(source)
    with torch_settings(Compute()):
        yield TileLabels(open_tiles(), labeller, orthophoto)


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
    """Raises InputError where an orthophoto lies beyond the bounds of the points, both in the CRS of the orthophoto."""
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
    """Warns of points without colour; raises InputError where no point has any."""
    without = done.without_colour
    names = " and ".join(str(layer.source) for layer in orthophoto.layers)
    if without == done.open_tiles().own_points:
        raise InputError(f"{names} covers no point of {file.path}. Check the CRS of both (--crs).")
    if without:
        log.warning("%s of %s points lie beyond %s and count as black.", f"{without:,}", f"{file.point_count:,}", names)


def _additions(legend: Legend, *, replace: bool) -> Additions:
    """The dimensions of the labels, in the order of their columns."""
    from deepnets4eo.points.files.las_writer import Additions, ExtraDimension

    dimensions = (
        ExtraDimension("pred_class", "uint8", "code of the class, 255 none"),
        ExtraDimension("pred_prob", "uint8", "probability of the class", 1 / CENT),
        ExtraDimension("entropy", "uint8", "0 sure to 1 all alike", 1 / CENT),
        ExtraDimension("propagated", "uint8", "1: label of the nearest point"),
    )
    return Additions(dimensions, legend, highest_code=max(legend.values) if replace else 0, predicted=replace)


def _write(file: CloudFile, legend: Legend, out: Path, done: LabelProgress, steps: _Steps, *, replace: bool) -> None:
    from deepnets4eo.points.files.las_writer import write_points

    labels, additions = done.labels(), _additions(legend, replace=replace)

    def values(points: slice, cloud: PointCloud | None) -> dict[str, NDArray[Any]]:
        part = labels[points]
        return {dimension.name: part[:, column] for column, dimension in enumerate(additions.dimensions)}

    write_points(
        file, out, values, additions, classes=("pred_class", VOID) if replace else None,
        progress=lambda share: steps(2, share),
    )  # fmt: skip


def _count(out: Path, legend: Legend, done: LabelProgress) -> LabelResult:
    codes, propagated = np.zeros(256, np.int64), 0
    labels = done.labels()
    for start in range(0, len(labels), 1 << 22):
        part = labels[start : start + (1 << 22)]
        codes += np.bincount(part[:, 0], minlength=256)
        propagated += int(part[:, 3].sum())
    counts = {one.name: int(codes[one.value]) for one in legend.classes if codes[one.value]}
    noise = sum(int(codes[code]) for code in NOISE_CODES if code not in legend.values)
    withheld = len(labels) - done.open_tiles().own_points
    without = int(codes[VOID]) - withheld
    return LabelResult(out, len(labels), counts, propagated, without, done.without_colour, noise, withheld)


@option_group
class LabelOptions:
    """Options of `label_cloud`.

    Parameters
    ----------
    replace : whether the classification is overwritten, but at points without label
    crs : CRS of the file, instead of its own
    neighbours : files whose points count in halos only
    memory_bytes : what the work may use
    resume : whether an interrupted job goes on
    overwrite : whether a result that exists is replaced
    """

    replace: bool = False
    crs: str | None = None
    neighbours: tuple[Path, ...] = ()
    memory_bytes: int = Field(default=4_000_000_000, gt=0)
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class LabelResult:
    """What was written.

    Parameters
    ----------
    path : the labelled file
    points : number of points
    counts : class name → points of that label
    propagated : points that took the label of the nearest labelled one
    without_label : points near which none had a label; withheld ones are not counted
    without_colour : points beyond the orthophoto or on its void pixels, which count as black
    noise : points that the file classifies as noise (7, 18 of ASPRS): they took no part and keep their code
    withheld : points that the file says to leave out: they took no part and have no label
    """

    path: Path
    points: int
    counts: dict[str, int]
    propagated: int
    without_label: int
    without_colour: int = 0
    noise: int = 0
    withheld: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {**vars(self), "path": str(self.path)}

    def summary(self) -> str:
        """Returns the counts in a sentence."""
        shares = ", ".join(f"{name} {count / self.points:.1%}" for name, count in self.counts.items())
        text = f"{self.points:,} points: {shares}. {self.propagated:,} took the label of the nearest labelled point"
        text += f", {self.without_label:,} have none." if self.without_label else "."
        if self.without_colour:
            text += f" {self.without_colour:,} lie beyond the orthophoto and are black."
        if self.noise:
            text += f" {self.noise:,} are classified as noise (7, 18): they took no part and keep their code."
        if self.withheld:
            text += f" {self.withheld:,} are withheld: they took no part and have no label."
        return text


class LabelProgress:
    """The scratch folder of a job."""

    def __init__(
        self,
        scratch: Scratch,
        file: CloudFile,
        labeller: PointLabeller,
        neighbours: Sequence[CloudFile] = (),
        orthophoto: Orthophoto | None = None,
    ) -> None:
        self._scratch, self._file = scratch.folder, file
        self._folder = scratch.of(
            [(file.path, str(file.given_crs)) for file in (file, *neighbours)],
            _describe(labeller),
            None if orthophoto is None else [orthophoto.all_returns, *orthophoto.layers],
        )
        self.tile_folder = self._folder / "tiles"
        asprs = file.asprs and has_asprs_noise(labeller.legend)
        self.open_tiles = partial(TiledPoints, self.tile_folder, file.crs, str(file.path), asprs=asprs)
        self._journal = Journal(self._folder)
        self.labelled_folder, self.without_colour = self._folder / "labelled", 0

    @property
    def is_sorted(self) -> bool:
        """Whether the points of this job are sorted in tiles, all of which are there."""
        if self._journal.get(SORTED) is None:
            return False
        try:
            return self.open_tiles().are_there
        except InputError:
            return False

    def clear(self) -> None:
        """Removes what there is, of other jobs as well."""
        with writing(self._scratch):
            remove(self._scratch)

    def begin(self) -> None:
        """Notes that the points are sorted."""
        self._journal.put(SORTED, {})

    def begin_labels(self) -> None:
        """Makes room for the labels."""
        with writing(self._folder):
            shape = (self._file.point_count, 4)
            labels = np.lib.format.open_memmap(self._folder / LABELS, mode="w+", dtype=np.uint8, shape=shape)
            labels[:, 0] = VOID
            labels.flush()

    def store(self, tile: Arrays) -> None:
        """Stores the labels (n, 4) of a tile in the file's order, and counts its points without colour."""
        with writing(self._folder):
            stored = np.load(self._folder / LABELS, mmap_mode="r+")
            stored.view(np.uint32)[tile["index"], 0] = np.ascontiguousarray(tile["labels"]).view(np.uint32)[:, 0]
        self.without_colour += int(tile[WITHOUT_COLOUR])

    def labels(self) -> NDArray[np.uint8]:
        """The labels (N, 4) in the file's order, read where they are used."""
        labels: NDArray[np.uint8] = np.load(self._folder / LABELS, mmap_mode="r")
        return labels


def _describe(labeller: PointLabeller) -> list[Any]:
    """What distinguishes labellers: what training wrote, or options."""
    options = {
        name: value.model_dump()
        for name, value in getattr(labeller, "__dict__", {}).items()
        if isinstance(value, BaseModel)
    }
    about = [labeller.legend.to_dict(), labeller.halo_m, list(labeller.needs)]
    return [type(labeller).__name__, run_digest(labeller), options, *about]
