"""The job of `deepnets4eo series`: features, ranking, page, and breaks of seasonal curves as a raster, into a folder.

Takes an opened series; writes changes.gpkg, changes.npz, report.html and series.json, and breaks.tif on demand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.addresses import without_secrets
from deepnets4eo.change.series.breaks import default_quantity, write_breaks
from deepnets4eo.change.series.features import CellFeatures, CellGrid, MeanVector, SpectralTexture, measure_cells
from deepnets4eo.change.series.options import NoveltyOptions, SeriesInputs, SeriesProducts
from deepnets4eo.change.series.page import write_page
from deepnets4eo.change.series.ranking import NoveltyRanking, rank_novelty
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.files import write_json
from deepnets4eo.jobs import Executor, FileJob, JobOutput, Progress, Scratch, SharedWork
from deepnets4eo.options import plain_options
from deepnets4eo.outputs import SeriesEvent, check_not_inputs, count_of
from deepnets4eo.rasters import gdal_cache
from deepnets4eo.segmenters import EncoderName
from deepnets4eo.version import __version__

PAGE, MANIFEST, BREAKS = "report.html", "series.json", "breaks.tif"
PRODUCTS = (*NoveltyRanking.files, PAGE, MANIFEST, BREAKS)
LOOK_PX = 256  # longer side of a look at a whole image


def rank_series(
    series: ImageSeries,
    options: NoveltyOptions,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    shared: SharedWork | None = None,
) -> NoveltyRanking:
    """Return the ranking of a series.

    workers : threads. progress : takes the share that is done. shared : measures cells without a network in other
    processes."""
    cells = CellGrid(series.grid, options.cell_px, options.stride_px or options.cell_px)
    features = make_features(series, options)
    if options.encoder:
        workers, shared = 1, None  # networks use all cores themselves
    measured = measure_cells(
        series, cells, features, min_valid=options.min_valid, workers=workers, progress=progress, shared=shared
    )
    return rank_novelty(measured, options)


def make_features(series: ImageSeries, options: NoveltyOptions) -> CellFeatures:
    """Return the features of the cells: an encoder if named, else mean embeddings, or bands, indices and textures. Raises InputError."""
    if options.encoder_file is not None:
        from deepnets4eo.change.series.dated_features import DatedFeatures

        if options.weights is not None:
            raise InputError(
                f"--set encoder={options.encoder} is a file that has its weights, but weights={options.weights} were given, too. Leave weights out."
            )
        return DatedFeatures(series, options.encoder_file, side_px=options.stride_px or options.cell_px)
    weights = (
        EncoderName.lite0 if options.weights is None and options.encoder == EncoderName.lite0 else options.weights
    )  # they come with it
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


def _check_shows_something(series: ImageSeries, source: str) -> None:
    """Refuse a series whose images have one value everywhere, such as embeddings of zeros; reads on until one has more. Raises InputError."""
    for layer in series.first_layers:
        values, valid, _ = layer.thumbnail(LOOK_PX)
        if valid.any() and np.ptp(values[:, valid], axis=1).any():
            return
    raise InputError(
        f"all {len(series)} dates of {source} have one value everywhere, or no valid pixel: no change can be ranked. Look at one with "
        f"`deepnets4eo check {series.first_layers[0].source}`, and fetch the images again."
    )


@dataclass(frozen=True)
class SeriesJob(FileJob[str, tuple[NoveltyRanking, list[Path]]]):
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
        """Return the job for these command-line options. json : a further output. Raises InputError; OutputError if it would overwrite its inputs."""
        products.check()
        inputs.check()
        out = output.out
        written = [json, *(out / name for name in PRODUCTS)]
        check_not_inputs([out, *written], [source, inputs.masks, options.weights, options.encoder_file])
        for folder in (source, inputs.masks):
            if folder is not None and Path(folder).is_dir() and out.exists() and out.samefile(folder):
                raise OutputError(
                    f"{out} is read by this job, so it cannot be written by it. Choose another name for the output."
                )
        products.breaks_since()  # refused before the series is opened
        series = ImageSeries.from_words(source, inputs)
        check_not_inputs(written, [series.paths])
        _check_shows_something(series, source)
        return cls(series, output, options, products, event, workers)

    @property
    def known_products(self) -> tuple[str, ...]:
        """Names of all files that such a ranking may have."""
        return PRODUCTS

    @property
    def sources(self) -> dict[str, Any]:
        """Images and weights."""
        return {"images": self.series.layers, "weights": self.options.weights or self.options.encoder_file}

    @property
    def shaping(self) -> tuple[Any, ...]:
        """Dates, the event, the options and the rule by which pixels count."""
        days = [day.isoformat() for day in self.series.dates]
        return {"dates": days, "event": self.event.to_dict()}, self.options, self.products, self.series.rule

    @property
    def known_output(self) -> JobOutput:
        """The output, whose last product is the manifest of the series."""
        return replace(super().known_output, last=MANIFEST)

    def foresee(self) -> str:
        """Describe in one line what would be done. Errors: InputError for features that the series does not have."""
        make_features(self.series, self.options)
        rows, cols = self.series.shape
        return f"{count_of(len(self.series), 'date')} of {rows} x {cols} px would be ranked into {self.output.out}"

    def make(
        self, scratch: Scratch, progress: Progress | None, executor: Executor | None
    ) -> tuple[NoveltyRanking, list[Path]]:
        """Write the products; return the ranking as it was written, and the files. executor : looks for breaks and measures cells."""
        series, start, names = self.series, self.products.breaks_since(), [*NoveltyRanking.files, PAGE, MANIFEST]
        with gdal_cache(), self.output.products() as hidden:
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
