"""The job of `deepnets4eo series`: features, ranking, breaks and page of a series, into a folder.

Takes an opened series; writes changes.gpkg, changes.npz, report.html, series.json, and breaks.tif where it is to.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from deepnets4eo.change.series.break_map import default_quantity, write_breaks
from deepnets4eo.change.series.cells import CellGrid
from deepnets4eo.change.series.features import CellFeatures, SpectralTexture
from deepnets4eo.change.series.measure import measure_cells
from deepnets4eo.change.series.options import NoveltyOptions
from deepnets4eo.change.series.page import write_page
from deepnets4eo.change.series.ranking import TABLE, VECTORS, NoveltyRanking, rank_novelty
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError
from deepnets4eo.files import write_json
from deepnets4eo.lazy import check_extra
from deepnets4eo.options import plain_options
from deepnets4eo.outputs.event import SeriesEvent
from deepnets4eo.rasters.gdal_cache import CACHE_BYTES, gdal_cache
from deepnets4eo.version import __version__

PAGE, MANIFEST, BREAKS = "report.html", "series.json", "breaks.tif"
PRODUCTS = (TABLE, VECTORS, PAGE, MANIFEST, BREAKS)

Progress = Callable[[float], None]


def rank_series(
    series: ImageSeries, options: NoveltyOptions, *, workers: int | None = None, progress: Progress | None = None
) -> NoveltyRanking:
    """The ranking of a series. workers : threads. progress : takes the share that is done."""
    cells = CellGrid(series.grid, options.cell_px, options.stride_px or options.cell_px)
    features = make_features(series, options)
    one_by_one = (
        1 if options.encoder or options.features == "autoencoder" else workers
    )  # networks use all cores themselves
    measured = measure_cells(
        series, cells, features, min_valid=options.min_valid, workers=one_by_one, progress=progress
    )
    return rank_novelty(measured, options)


def make_features(series: ImageSeries, options: NoveltyOptions) -> CellFeatures:
    """What describes the cells: an encoder where one is named, else as the options say. Errors: InputError for both."""
    side_px = options.stride_px or options.cell_px
    if options.features == "autoencoder":
        check_extra("deep")
        from deepnets4eo.change.series.autoencoder import AutoencoderFeatures

        if options.encoder is not None:
            raise InputError(
                f"--features autoencoder and --set encoder={options.encoder} were given. Choose one of them."
            )
        return AutoencoderFeatures(series, side_px=side_px, seed=options.seed)
    if options.encoder is None:
        return SpectralTexture(series.band_names)
    from deepnets4eo.change.series.encoder import EncoderFeatures

    return EncoderFeatures(series, options.encoder, options.weights, side_px=side_px, seed=options.seed)


def write_series(
    series: ImageSeries,
    out: str | Path,
    options: NoveltyOptions,
    *,
    top: int = 30,
    breaks_from: date | None = None,
    break_of: str | None = None,
    workers: int | None = None,
    event: SeriesEvent = SeriesEvent(),
    progress: Progress | None = None,
) -> list[Path]:
    """Rank a series and write the result to `out`; `top` changes have chips on the page, and breaks of `break_of` are
    written where `breaks_from` is given. Returns the paths."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with gdal_cache(CACHE_BYTES):
        paths, breaks = [], None
        if breaks_from:
            breaks = {"of": break_of or default_quantity(series), "from": breaks_from.isoformat()}
            paths.append(write_breaks(series, out / BREAKS, breaks_from, quantity=breaks["of"], tags=event.tags))
        else:
            (out / BREAKS).unlink(missing_ok=True)  # of an earlier job
        ranking = rank_series(series, options, workers=workers, progress=progress)
        paths = [*ranking.write(out, event), *paths, write_page(ranking, series, out / PAGE, top=top, event=event)]
    manifest = {
        "version": __version__,
        "synthetic": series.synthetic,
        "event": event.to_dict(),
        "dates": [day.isoformat() for day in series.dates],
        "dates_of_a_year_alone": [day.isoformat() for day in series.years_alone],
        "images": series.sources,
        "grid_of": series.grid_source,
        "bands": series.band_names,
        "bands_assumed": series.bands_assumed,
        "breaks": breaks,
        "options": plain_options(options),
        "changes": len(ranking),
    }
    return [*paths, write_json(out / MANIFEST, manifest)]
