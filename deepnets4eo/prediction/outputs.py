"""What a prediction writes, how it cuts the scene, and what it may use of the machine.

The rasters are labels, and optionally probabilities and entropy. Takes finished rows of bytes; writes one Cloud-Optimized
GeoTIFF per product, which gets its name when it is complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window
from deepnets4eo.jobs.blocks import Executor
from deepnets4eo.jobs.parts import Part
from deepnets4eo.rasters.cog import BLOCK_PX, CogWriter
from deepnets4eo.tiling import Tiling
from deepnets4eo.tiling.scores import PACKED_NODATA, PACKED_ONE

LABELS = "labels"
PROBABILITIES = "probabilities"
ENTROPY = "entropy"


@dataclass(frozen=True)
class PredictOptions:
    """What a prediction writes beside labels, how it cuts the scene, and what it may use of the machine.

    Parameters
    ----------
    probabilities : file for the probability of each class, K bands packed as bytes: value / 254, 255 nodata
    entropy : file for the entropy over classes, packed likewise; 1 where all classes are equally probable
    tile_px, halo_px, overlap_px, scores, blending : replace the run's own tiling where given, see `Tiling`; pixels
    memory_bytes
        Limit of the whole process; data that it held before, beyond 1 GB of Python and its libraries, are not counted.
    workers : threads that read tiles
    device, precision : see `device.choose`
    threads
        The threads of the network on a CPU; by default those of `device.choose`, of an executor one, and on resuming those
        of the interrupted job.
    batch_tiles
        Tiles computed together; by default 1 on a CPU, on a GPU as many as take a quarter of its memory (at most 32).
    block_px : rows that are finished, and written, together
    strip_px : columns that are finished together; by default as many as the memory allows
    part
        One of the parts of a job that several computers share: only its rows are computed, and kept beside the output; a job that
        resumes it writes the output, when all parts are done. A part that is started again goes on by itself.
    resume : continue an interrupted job of the same inputs and options, or complete one whose parts are done
    overwrite : replace outputs that exist, and begin again where a job was interrupted
    executor : computes the tiles in other processes, see `jobs.executors`; None computes them in this one. The scene is of files

    Raises
    ------
    InputError
        Sizes of tiles, blocks and strips, and numbers of tiles, threads and workers, below 1.

    Examples
    --------
    >>> PredictOptions(tile_px=256, halo_px=32).tiling(Tiling(512, 64)).core_px
    192
    """

    probabilities: Path | None = None
    entropy: Path | None = None
    tile_px: int | None = None
    halo_px: int | None = None
    overlap_px: int | None = None
    scores: str | None = None
    blending: str | None = None
    memory_bytes: int = 4 * 10**9
    workers: int = 2
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    part: Part | None = None
    resume: bool = False
    overwrite: bool = False
    batch_tiles: int | None = None
    block_px: int = BLOCK_PX
    strip_px: int | None = None
    executor: Executor | None = None

    def __post_init__(self) -> None:
        for name in ("batch_tiles", "block_px", "strip_px", "tile_px", "threads", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(
                    f"{name}={value} was given; expected at least 1. Give another number, or leave it out."
                )

    def tiling(self, own: Tiling) -> Tiling:
        """The run's tiling with the values of these options."""
        values = {name: getattr(self, name) for name in ("tile_px", "halo_px", "overlap_px", "scores", "blending")}
        return replace(own, **{name: value for name, value in values.items() if value is not None})


@dataclass(frozen=True)
class Outputs:
    """Files of a prediction. paths : product → file; `labels` is always among them. tags : of all files. Errors:
    InputError where two products have one file."""

    paths: Mapping[str, Path]
    grid: Grid
    legend: Legend
    tags: Mapping[str, str]

    def __post_init__(self) -> None:
        if len({path.resolve() for path in self.paths.values()}) < len(self.paths):
            names = [str(path) for path in self.paths.values()]
            raise InputError(f"two outputs have one file: {names}. Give each its own name.")

    @property
    def products(self) -> list[str]:
        """Names of what is written."""
        return list(self.paths)

    def write(self, product: str, rows: Iterable[tuple[Window, ByteImage]]) -> None:
        """Write a product from all its rows. Errors: OutputError where the disk refuses; nothing is left then."""
        with self._writer(product) as writer:
            for window, part in rows:
                writer.write(window, part)

    def _writer(self, product: str) -> CogWriter:
        path, names = self.paths[product], self.legend.names
        if product == LABELS:
            return CogWriter(path, self.grid, nodata=VOID, legend=self.legend, tags=self.tags)
        meaning = "probability of each class"
        if product == ENTROPY:
            meaning, names = "entropy over classes; 1: all are equally probable", ("entropy",)
        tags = dict(self.tags) | {"MEANING": f"{meaning}; value / {PACKED_ONE}", "PACKED_ONE": str(PACKED_ONE)}
        count = bands_of(product, self.legend.num_classes)
        return CogWriter(path, self.grid, count=count, nodata=PACKED_NODATA, band_names=names, tags=tags)


def bands_of(product: str, num_classes: int) -> int:
    """Bands of a product: one per class for probabilities, else one."""
    return num_classes if product == PROBABILITIES else 1
