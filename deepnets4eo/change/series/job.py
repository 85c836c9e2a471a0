"""The job of `deepnets4eo series`: features, ranking, page, and breaks of seasonal curves as a raster, into a folder.

Takes an opened series; writes changes.gpkg, changes.npz, report.html and series.json, and breaks.tif on demand.

breaks.tif has decimal year, magnitude and statistic of the first break of each pixel. Memory: a block of all dates,
about 60 MB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.addresses import without_secrets
from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.change.series.features import (
    CellFeatures,
    CellGrid,
    MeanVector,
    SpectralTexture,
    measure_cells,
    reading,
)
from deepnets4eo.change.series.harmonic import HarmonicOptions, check_start, decimal_years, detect_breaks
from deepnets4eo.change.series.options import NoveltyOptions, SeriesInputs, SeriesProducts
from deepnets4eo.change.series.page import write_page
from deepnets4eo.change.series.ranking import TABLE, VECTORS, NoveltyRanking, rank_novelty
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError, OutputError, name_hint
from deepnets4eo.files import write_json
from deepnets4eo.grid import blocks
from deepnets4eo.jobs.blocks import Executor
from deepnets4eo.jobs.output import JobOutput
from deepnets4eo.jobs.parts import Progress
from deepnets4eo.jobs.shared_work import SharedWork
from deepnets4eo.options import plain_options
from deepnets4eo.outputs.event import SeriesEvent
from deepnets4eo.outputs.input_files import check_not_inputs
from deepnets4eo.rasters.band_roles import normalised_difference, role_indices
from deepnets4eo.rasters.cog import CogWriter
from deepnets4eo.rasters.gdal_cache import gdal_cache
from deepnets4eo.segmenters.networks import LITE0
from deepnets4eo.version import __version__

BLOCK_PX = 128
BAND_NAMES = ("break_year", "magnitude", "statistic")
NDVI = "ndvi"

PAGE, MANIFEST, BREAKS = "report.html", "series.json", "breaks.tif"
PRODUCTS = (TABLE, VECTORS, PAGE, MANIFEST, BREAKS)


def rank_series(
    series: ImageSeries,
    options: NoveltyOptions,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    shared: SharedWork | None = None,
) -> NoveltyRanking:
    """The ranking of a series. workers : threads. progress : takes the share that is done. shared : measures cells without a network in
    other processes."""
    cells = CellGrid(series.grid, options.cell_px, options.stride_px or options.cell_px)
    features = make_features(series, options)
    if options.encoder:
        workers, shared = 1, None  # networks use all cores themselves
    measured = measure_cells(
        series, cells, features, min_valid=options.min_valid, workers=workers, progress=progress, shared=shared
    )
    return rank_novelty(measured, options)


def make_features(series: ImageSeries, options: NoveltyOptions) -> CellFeatures:
    """What describes the cells: an encoder where one is named, else mean embeddings, or bands, indices and textures. Errors: InputError."""
    weights = LITE0 if options.weights is None and options.encoder == LITE0 else options.weights  # they come with it
    if (options.encoder is None) != (weights is None):
        raise InputError(
            f"--set encoder={options.encoder} and weights={options.weights} were given; an encoder needs weights, since random ones find "
            "hardly any change. Give both, or leave both out."
        )
    if options.encoder is None:
        return (MeanVector if series.embedding else SpectralTexture)(series.band_names)
    from deepnets4eo.change.series.encoder import EncoderFeatures

    return EncoderFeatures(
        series, options.encoder, weights, side_px=options.stride_px or options.cell_px, seed=options.seed
    )


@dataclass(frozen=True)
class SeriesJob:
    """A ranking of a series and its products in a folder. workers : threads."""

    series: ImageSeries
    output: JobOutput
    options: NoveltyOptions = NoveltyOptions()
    products: SeriesProducts = SeriesProducts()
    event: SeriesEvent = SeriesEvent()
    workers: int | None = None

    @classmethod
    def plan(
        cls, source: str, inputs: SeriesInputs, output: JobOutput, options: NoveltyOptions, products: SeriesProducts,
        event: SeriesEvent, *, workers: int = 2, json: Path | None = None,
    ) -> SeriesJob:  # fmt: skip
        """The job of these words. json : a further output. Errors: InputError; OutputError where it would write over its inputs."""
        products.check()
        inputs.check()
        out, output = output.out, replace(output, last=MANIFEST)
        written = [json, *(out / name for name in PRODUCTS)]
        check_not_inputs([out, *written], [source, inputs.masks, options.weights])
        for folder in (source, inputs.masks):
            if folder is not None and Path(folder).is_dir() and out.exists() and out.samefile(folder):
                raise OutputError(
                    f"{out} is read by this job, so it cannot be written by it. Choose another name for the output."
                )
        products.breaks_since()  # refused before the series is opened
        series = ImageSeries.from_words(source, inputs)
        check_not_inputs(written, [series.paths])
        return cls(series, output, options, products, event, workers)

    def run(
        self, progress: Progress | None = None, executor: Executor | None = None
    ) -> tuple[NoveltyRanking, list[Path]]:
        """Write the products; the ranking as it was written, and the files. executor : looks for breaks and measures cells."""
        series, start, names = self.series, self.products.breaks_since(), [TABLE, VECTORS, PAGE, MANIFEST]
        with self.output.begin() as scratch, gdal_cache(), self.output.products() as hidden:
            shared = None if executor is None else SharedWork(executor, scratch.folder.absolute())
            breaks = None
            if start is not None:
                breaks = {"of": self.products.break_of or default_quantity(series), "from": start.isoformat()}
                where, tags = hidden.folder / BREAKS, self.event.tags
                write_breaks(series, where, start, quantity=breaks["of"], tags=tags, shared=shared)
                names.insert(2, BREAKS)
            ranking = rank_series(series, self.options, workers=self.workers, progress=progress, shared=shared)
            ranking.write(hidden.folder, self.event)
            write_page(ranking, series, hidden.folder / PAGE, top=self.products.top, event=self.event)
            write_json(hidden.folder / MANIFEST, self._manifest(ranking, breaks))
            paths = hidden.publish(names, known=PRODUCTS)
        return NoveltyRanking.read(self.output.out), list(paths.values())

    def _manifest(self, ranking: NoveltyRanking, breaks: dict[str, str] | None) -> dict[str, Any]:
        series = self.series
        return {
            "version": __version__,
            "synthetic": series.synthetic,
            "event": self.event.to_dict(),
            "dates": [day.isoformat() for day in series.dates],
            "dates_of_a_year_alone": [day.isoformat() for day in series.years_alone],
            "images": series.sources,
            "grid_of": series.grid_source,
            "bands": series.band_names,
            "bands_assumed": series.bands_assumed,
            "embedding": series.embedding,
            "breaks": breaks,
            "options": without_secrets(plain_options(self.options)),
            "changes": len(ranking),
        }


def write_breaks(
    series: ImageSeries,
    path: str | Path,
    start: date,
    *,
    quantity: str | None = None,
    options: HarmonicOptions | None = None,
    tags: Mapping[str, str] | None = None,
    progress: Callable[[float], None] | None = None,
    shared: SharedWork | None = None,
) -> Path:
    """Write the breaks of all pixels since `start` to a float32 COG, NaN where there is no break or no history.

    quantity : a band or "ndvi", by default NDVI where red and near infrared are known, else the first band
    shared : looks for them in other processes

    Errors: InputError for a quantity that the series does not have, or a start without history.
    """
    quantity = quantity or default_quantity(series)
    _quantity(series, quantity)
    options = options or HarmonicOptions()
    check_start(decimal_years(series.dates), decimal_years([start])[0], options)
    work, windows = BreakBlocks(series, quantity, start, options), blocks(series.shape, BLOCK_PX)
    names = [str(number) for number in range(len(windows))]
    results = map(work, names) if shared is None else shared.results(reading, (work,), names)
    all_tags = dict(tags or {}) | {"break_of": quantity, "monitored_from": start.isoformat()}
    all_tags |= {"SYNTHETIC": "yes"} if series.synthetic else {}
    with CogWriter(
        path, series.grid, count=3, dtype="float32", nodata=math.nan, band_names=BAND_NAMES, tags=all_tags
    ) as writer:
        for number, (window, arrays) in enumerate(zip(windows, results, strict=True)):
            writer.write(window, arrays["bands"])
            if progress is not None:
                progress((number + 1) / len(windows))
    return Path(path)


def default_quantity(series: ImageSeries) -> str:
    """NDVI where red and near infrared are known, else the first band."""
    return NDVI if {"red", "nir"} <= set(role_indices(series.band_names)) else series.band_names[0]


@dataclass(frozen=True)
class BreakBlocks:
    """Blocks of pixels, by number, in which breaks of a quantity since a date are looked for."""

    series: ImageSeries
    quantity: str
    start: date
    options: HarmonicOptions

    def __call__(self, name: str) -> dict[str, NDArray[Any]]:
        """Look for the breaks of a block; `bands` (3, h, w) float32 as in `BAND_NAMES`."""
        series, take = self.series, _quantity(self.series, self.quantity)
        window = blocks(series.shape, BLOCK_PX)[int(name)]
        values = np.zeros((len(series), window.height * window.width), np.float32)
        valid: Mask = np.zeros(values.shape, bool)
        for index in range(len(series)):
            image, known = series.read(index, window)
            quantity = take(image)
            valid[index] = (known & np.isfinite(quantity)).ravel()
            values[index] = np.nan_to_num(quantity).ravel()
        (start,) = decimal_years([self.start])
        detected = detect_breaks(values, valid, decimal_years(series.dates), start, self.options)
        bands = np.stack([detected.time, detected.magnitude, detected.statistic])
        return {"bands": bands.reshape(3, window.height, window.width).astype(np.float32)}


def _quantity(series: ImageSeries, name: str) -> Callable[[FloatImage], FloatImage]:
    roles = role_indices(series.band_names)
    if name in series.band_names:
        band = series.band_names.index(name)
        return lambda image: image[band]
    if name == NDVI and {"red", "nir"} <= set(roles):
        return lambda image: normalised_difference(image[roles["nir"]], image[roles["red"]])
    known = [*series.band_names, *([NDVI] if {"red", "nir"} <= set(roles) else [])]
    raise InputError(f"the series has no quantity {name!r}. {name_hint(name, known)}")
