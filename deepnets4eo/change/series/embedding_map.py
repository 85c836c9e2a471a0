"""A raster of embeddings of one image by a file of Galileo or Presto: one vector per patch, which `series` and `change` read.

Memory: a block of the image and of its vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.cards import EmbeddingCard
from deepnets4eo.change.series.dated_features import top_values
from deepnets4eo.change.series.dates import DatedImage, as_date, dated_name
from deepnets4eo.change.series.options import SeriesInputs
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window, blocks
from deepnets4eo.jobs import Progress
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.segmenters import DatedMaps, known_bands

BLOCK_PATCHES = 64  # side of a block


@dataclass(frozen=True)
class EmbeddingMap:
    """An image that is to be embedded. day : None if unknown."""

    series: ImageSeries
    maps: DatedMaps
    encoder: Path
    day: date | None

    @classmethod
    def open(cls, image: str, encoder: str | Path, inputs: SeriesInputs | None = None) -> EmbeddingMap:
        """Open an image, a mosaic or a STAC item's file, and the encoder. The day comes from `inputs.dates`, its name or its tags.

        Raises InputError for files that do not fit."""
        inputs = inputs or SeriesInputs()
        inputs.check()
        layer = Layer.open(image)
        stated = dated_name(Path(image).name)[0] or (None if layer.acquired is None else layer.acquired[1])
        day = stated if inputs.dates is None else as_date(inputs.dates, "--date")
        masks = () if inputs.masks is None else (inputs.masks,)
        images, chosen = [DatedImage(day or date.min, (image,), masks)], inputs.chosen_bands
        if chosen is None and (known := known_bands(layer.band_names)):
            chosen = {layer.band_names[index]: index + 1 for index in known}
        series = ImageSeries(images, bands=chosen)
        maps = DatedMaps(encoder, series.band_names, top_values(series))
        if min(series.shape) < maps.patch_px:
            raise InputError(
                f"{image} has {series.shape[0]} × {series.shape[1]} pixels, less than a patch of {maps.patch_px}. Give a larger image."
            )
        return cls(series, maps, Path(encoder), day)

    @property
    def grid(self) -> Grid:
        """The grid of the patches."""
        patch = self.maps.patch_px
        height, width = (side // patch for side in self.series.shape)
        return GeoBox((height, width), self.series.grid.affine * Affine.scale(patch), self.series.grid.crs)

    def write(self, out: str | Path, progress: Progress | None = None) -> str:
        """Write the vectors, float32, NaN without data; return a headline."""
        maps, month = self.maps, None if self.day is None else self.day.month
        gsd_m = self.series.first_layers[0].gsd_m if self.series.grid.crs is not None else None
        card = EmbeddingCard(
            name=maps.kind, title=f"Vectors of {self.encoder.name}, an encoder of {maps.kind.capitalize()}",
            components=maps.width, scale=1.0, power=1.0, gsd_m=None if gsd_m is None else gsd_m * maps.patch_px,
        )  # fmt: skip
        tags = card.to_tags() | ({} if self.day is None else {"ACQUISITION_DATE": self.day.isoformat()})
        tags |= {"SYNTHETIC": "yes"} if self.series.synthetic else {}
        names = [f"{maps.kind}_{number}" for number in range(1, maps.width + 1)]
        known, windows = 0, blocks((self.grid.shape[0], self.grid.shape[1]), BLOCK_PATCHES)
        with CogWriter(
            out, self.grid, count=maps.width, dtype="float32", nodata=float("nan"), band_names=names, tags=tags
        ) as writer:
            for number, window in enumerate(windows, start=1):
                vectors = self._vectors(window, month)
                known += int(np.isfinite(vectors[0]).sum())
                writer.write(window, vectors)
                if progress is not None:
                    progress(number / len(windows))
        when = "unknown month" if month is None else f"month {month}"
        share = known / (self.grid.shape[0] * self.grid.shape[1])
        return f"{maps.width} components per patch of {maps.patch_px} px, {share:.0%} with data, {when}"

    def _vectors(self, window: Window, month: int | None) -> np.ndarray:
        """Vectors (D, h, w) of patches, NaN without data."""
        patch = self.maps.patch_px
        pixels = Window(window.row * patch, window.col * patch, window.height * patch, window.width * patch)
        vectors = self.maps.compute(*self.series.read(0, pixels), month)
        return np.where(vectors.any(axis=0), vectors, np.float32(np.nan))
