"""What a prediction writes.

The rasters are labels, and optionally probabilities and entropy. Takes finished rows of bytes; writes one Cloud-Optimized
GeoTIFF per product, which gets its name when it is complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window
from deepnets4eo.rasters.cog import CogWriter
from deepnets4eo.tiling.scores import PACKED_NODATA, PACKED_ONE

LABELS = "labels"
PROBABILITIES = "probabilities"
ENTROPY = "entropy"


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
