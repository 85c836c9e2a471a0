"""Networks for buildings: outlines if no footprints exist, and the probability that an outline contains a building."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy
import shapely
from affine import Affine

from deepnets4eo.arrays import Floats, Geometries, Mask
from deepnets4eo.cards import Legend, ShippedModel, run_path
from deepnets4eo.damage.images.dates import in_colour
from deepnets4eo.damage.network.pairs import in_pixels
from deepnets4eo.damage.network.pooling import fitted_tiling, pool_scene
from deepnets4eo.damage.network.unsure_outlines import MIN_PROBABILITY, PROBABILITY
from deepnets4eo.damage.settings import Settings
from deepnets4eo.damage.site.phases import Phase
from deepnets4eo.damage.site.site import Site
from deepnets4eo.damage.site.work import TileWork
from deepnets4eo.damage.table.columns import meaning_of
from deepnets4eo.damage.table.probabilities import MAX_LOG_ODDS
from deepnets4eo.damage.table.vocabulary import MANY_UNKNOWN
from deepnets4eo.device import choose
from deepnets4eo.errors import CompleteError, InputError, MissingExtraError, RunError, UnreadableError
from deepnets4eo.grid import Grid, gsd_m, transform_shapes
from deepnets4eo.jobs import KeptFiles
from deepnets4eo.polygons import Shaping, grow_into_borders, polygonize
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.read_as import BRIGHT_PERCENTILE, DARKEST, bright_value
from deepnets4eo.registration import ImagePair
from deepnets4eo.segmenters import (
    AnySize,
    LayerInput,
    Run,
    RunFolder,
    load_run,
    needed_stretch,
    show,
    takes_any_size,
    working_grid,
)
from deepnets4eo.tiling import Packed
from deepnets4eo.zonal import band_sums

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.prediction import PredictOptions

WORKING_GSD_M = 0.7  # at Joplin as good as at 0.5 m, in half the time

REMEDY = "Give footprints, or --set segmenter=RUN with a run that learnt such images."


FIND = "-"  # in place of footprints: find the buildings
SHIPPED = "buildings"  # name of the model that comes with the toolbox
BUILDING, BORDER = "building", "border"
BORDER_REACH_M = 1.0  # half the width of the borders that it was taught
INNER_SHARE = 0.3  # of its area that a small house in a row has at least without its borders
# A piece of a roof: at most so large as a share of the outline beside it, within this distance, along so many of its own sides (the root
# of its area). At eleven real places a building had 1.22 outlines without joining, 1.17 with it; those met by one outline stay as many.
PIECE_SHARE, PIECE_REACH_M, PIECE_SIDES = 0.5, 1.5, 1.25
SHAPING = Shaping(min_area_m2=20.0, simplify_m=0.5, right_angles=True)  # sheds and crumbs are no buildings to assess

logger = logging.getLogger(__name__)


def buildings_of(
    run: str | Path,
    image: Layer,
    labels: Path,
    *,
    class_name: str = BUILDING,
    shaping: Shaping = SHAPING,
    options: PredictOptions | None = None,
    progress: Callable[[float], None] | None = None,
    keep_unsure: bool = False,
) -> gpd.GeoDataFrame:
    """Find the buildings of an image with a run that labels pixels (Audebert et al., Remote Sensing 9(4):368, 2017).

    Parameters
    ----------
    run
        Run folder, or "buildings", the default network, which takes optical images of 0.2 to 1.5 m per pixel.
    image : read as the run's first layer
    labels
        Label raster that is written; an existing raster is replaced, or used if `options` resume. The
        probabilities of the default network are next to it.
    class_name : class of the buildings in the run's legend
    shaping : minimum area and simplification of the outlines
    options : settings for labelling the image
    progress : called with the share of the image that is labelled, 0–1
    keep_unsure : whether outlines that the default network is not sure of follow the others, if they are a fifth of them or more

    Returns
    -------
    geopandas.GeoDataFrame
        Polygons in the image's CRS with `id`, `class`, `value` and `area_m2` (m²). Touching buildings are one, unless the
        run's legend has a class "border"; small outlines along a larger one are joined with it. With the default
        network, only the buildings of `sure_buildings`. Peak memory: the peak of `predict`, then of `polygonize`.

    Raises
    ------
    RunError
        The image does not fit the run, or the run is damaged.
    LabelError
        The legend has no such class.
    InputError
        The image shows no building, or does not fit the default network.

    Examples
    --------
    ::

        footprints = buildings_of("runs/unet", Layer.open("pre.tif"), Path("labels.tif"))
        assess("pre.tif", "post.tif", footprints)
    """
    loaded = load_run(run)
    loaded.legend.value(class_name)  # refuses runs that know no buildings before the image is labelled
    logger.info("no footprints: the run %s looks for them in %s", run, image.source)
    from deepnets4eo.prediction import PredictOptions

    options, probabilities = options or PredictOptions(overwrite=True), None
    if takes_any_size(loaded.recipe):
        image = to_working_image(image, loaded.inputs.gsd_m or image.gsd_m)
        probabilities = labels.with_name(f"{labels.stem}_probabilities.tif")
        # labels without their probabilities, as of an earlier version, cannot be resumed: they are replaced
        anew = options.overwrite or (options.resume and not probabilities.is_file())
        options = replace(options, probabilities=probabilities, overwrite=anew)
    _label(loaded, image, labels, options, progress)
    buildings = outline_buildings(Layer.open(labels), loaded.legend, class_name, shaping)
    unsure = buildings.iloc[:0]
    if probabilities is not None:
        buildings, unsure = sure_buildings(buildings, Layer.open(probabilities), loaded.legend)
    if BORDER in loaded.legend.names:
        buildings = join_outlines(buildings, image.grid)
    if keep_unsure and len(buildings) and len(unsure) >= MANY_UNKNOWN * len(buildings):
        buildings = _numbered(pd.concat([buildings, unsure], ignore_index=True))
    if not len(buildings):
        raise InputError(
            f"the run {run} finds no {class_name} of {shaping.min_area_m2:g} m² or more that it is sure of in {image.source}. "
            "Give footprints, or a run that was trained on such images."
        )
    logger.info("%d buildings found", len(buildings))
    return buildings


def _label(
    run: Run, image: Layer, labels: Path, options: PredictOptions, progress: Callable[[float], None] | None
) -> None:
    """Label the image, unless whole rasters of this very job are there. Raises OtherJobError for rasters of another job."""
    from deepnets4eo.prediction import predict

    names = [path.name for path in (labels, options.probabilities) if path is not None]
    kept = KeptFiles(labels.parent)
    if options.scratch and options.resume:  # in a folder of this job
        if not kept.has(*names):
            predict(run, image, labels, replace(options, overwrite=True), progress=progress)
            kept.note(*names)
        return
    with suppress(CompleteError):
        predict(run, image, labels, options, progress=progress)


def find_footprints(
    pair: ImagePair, settings: Settings, labels: Path, progress: Callable[[float], None] | None
) -> gpd.GeoDataFrame:
    """Find buildings in the first of the images with the settings' run. labels : raster that keeps what it sees. Raises InputError."""
    from deepnets4eo.prediction import PredictOptions

    options = PredictOptions(
        device=settings.device, precision=settings.precision, runtime=settings.runtime, resume=True, scratch=True
    )
    image = pair.post if pair.pre is None else pair.pre
    try:
        return buildings_of(
            str(settings.segmenter), image, labels, options=options, progress=progress, keep_unsure=True
        )
    except (MissingExtraError, RunError) as error:
        raise InputError(
            f"FOOTPRINTS is -, but the buildings cannot be found: {error} Or give a run of your own with "
            "--set segmenter=RUN, or footprints."
        ) from error


def is_to_find(footprints: str) -> bool:
    """Return True for `-` in place of footprints."""
    return footprints == FIND


def with_segmenter(footprints: str, settings: Settings) -> Settings:
    """Return settings with the run that finds the buildings if FOOTPRINTS is -. Raises InputError for a file and a run."""
    if is_to_find(footprints):
        run = run_path(settings.segmenter) if settings.segmenter else ShippedModel(SHIPPED).folder
        return replace(settings, segmenter=str(run))
    if settings.segmenter is not None:
        raise InputError(
            f"FOOTPRINTS is {footprints} and --set segmenter={settings.segmenter}; expected a file, or - and a run that finds "
            "the buildings. Give one of the two."
        )
    return settings


def sure_buildings(
    buildings: gpd.GeoDataFrame, probabilities: Layer, legend: Legend, least: float = MIN_PROBABILITY
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Return the outlines whose mean probability of building or border, `building_prob`, is at least `least`, renumbered, and the others."""
    bands = [legend.names.index(name) for name in (BUILDING, BORDER) if name in legend.names]
    mean = band_sums(probabilities, buildings).mean[:, bands].sum(axis=1) / Packed.one
    stated = buildings.assign(**{PROBABILITY: mean})
    kept, others = (stated[rows].reset_index(drop=True) for rows in (mean >= least, mean < least))
    logger.info(
        "%d outlines are left out: the network is sure of them by less than %g", len(buildings) - len(kept), least
    )
    return _numbered(kept), others


def outline_buildings(
    labels: Layer, legend: Legend, class_name: str = BUILDING, shaping: Shaping = SHAPING
) -> gpd.GeoDataFrame:
    """Return the buildings of a label raster as polygons, touching buildings separated by a class "border". Raises LabelError."""
    value = legend.value(class_name)
    if BORDER in legend.names:
        return _separate(labels, {value: class_name}, legend.value(BORDER), shaping)
    return polygonize(labels, {value: class_name}, shaping)


def _separate(labels: Layer, classes: dict[int, str], border_value: int, shaping: Shaping) -> gpd.GeoDataFrame:
    """Outlines grown into the borders between them; those that are large enough after it."""
    inner = replace(shaping, min_area_m2=shaping.min_area_m2 * INNER_SHARE)
    buildings = polygonize(labels, classes, inner)
    borders = polygonize(labels, {border_value: BORDER})
    to_metres = _to_metres(labels.grid)
    outlines, between = (transform_shapes(to_metres, frame.geometry.to_numpy()) for frame in (buildings, borders))
    separate = _reshaped(buildings, outlines, grow_into_borders(outlines, between, BORDER_REACH_M), to_metres)
    return _numbered(separate[separate["area_m2"] >= shaping.min_area_m2].reset_index(drop=True))


def join_outlines(buildings: gpd.GeoDataFrame, grid: Grid) -> gpd.GeoDataFrame:
    """Join the pieces of one roof among the outlines, and renumber them."""
    to_metres = _to_metres(grid)
    outlines = transform_shapes(to_metres, buildings.geometry.to_numpy())
    whole, joined = join_pieces(outlines)
    return _numbered(_reshaped(buildings, outlines, whole, to_metres)[~joined].reset_index(drop=True))


def _to_metres(grid: Grid) -> Affine:
    row_m, col_m = gsd_m(grid)
    return Affine.scale(col_m, row_m) * ~grid.affine


def _reshaped(
    buildings: gpd.GeoDataFrame, before: Geometries, after: Geometries, to_metres: Affine
) -> gpd.GeoDataFrame:
    """Return the buildings with new shapes (N,) in metres and their areas, if these are valid on the ground."""
    ground = transform_shapes(~to_metres, after)
    valid = shapely.is_valid(ground)  # rounding can make two corners meet
    shaped = buildings.set_geometry(np.where(valid, ground, buildings.geometry.to_numpy()), crs=buildings.crs)
    return shaped.assign(area_m2=shapely.area(np.where(valid, after, before)))


def join_pieces(outlines: Geometries) -> tuple[Geometries, Mask]:
    """Join outlines (N,) in metres with the smaller outlines along them; return all, and (N,) which of them are such pieces."""
    area, near = shapely.area(outlines), shapely.buffer(outlines, PIECE_REACH_M)
    piece, roof = shapely.STRtree(outlines).query(outlines, "dwithin", PIECE_REACH_M)
    smaller = area[piece] < PIECE_SHARE * area[roof]
    piece, roof = piece[smaller], roof[smaller]
    length = shapely.area(shapely.intersection(near[piece], near[roof])) / (2 * PIECE_REACH_M)  # of the common border
    along = np.flatnonzero(length >= PIECE_SIDES * np.sqrt(area[piece]))
    longest = {piece[row]: roof[row] for row in along[np.argsort(length[along], kind="stable")].tolist()}
    whole, joined = outlines.copy(), np.zeros(len(outlines), bool)
    for row in sorted(longest, key=lambda number: area[number]):  # pieces of pieces first
        wide = shapely.union_all(shapely.buffer(whole[[row, longest[row]]], PIECE_REACH_M / 2, join_style="mitre"))
        parts = shapely.get_parts(shapely.buffer(wide, -PIECE_REACH_M / 2, join_style="mitre"))
        whole[longest[row]], joined[row] = parts[np.argmax(shapely.area(parts))], True
    return whole, joined


def _numbered(buildings: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the buildings with `id` from 1."""
    return buildings.assign(id=[str(number) for number in range(1, len(buildings) + 1)])


class OutlineProbability:
    """The probability that an outline contains a building, stated by the footprints."""

    name = "outlines"
    phase = Phase.AFTERWARDS

    def measure(self, site: Site) -> Site:
        """Return the site with the footprints' `building_prob`, NaN for buildings that are not assessed; unchanged without it."""
        attributes = site.inputs.footprints.attributes
        if attributes is None or PROBABILITY not in attributes:
            return site
        values = pd.to_numeric(attributes[PROBABILITY], errors="coerce").to_numpy(float)
        return site.with_columns(pd.DataFrame({"ev_building": values}), meaning_of("outlines"), self.name)


def to_working_image(image: Layer, working_gsd_m: float) -> Layer:
    """Return an image in colour and 8 bits at the network's ground size. Raises InputError for images that the network cannot read."""
    _check_grid(image)
    image = image.as_shown()
    if image.count < 3:
        raise InputError(f"{image.source} has {image.count} band(s); buildings are found in red, green, blue. {REMEDY}")
    colour = in_colour(image)
    stretch = needed_stretch(LayerInput.display_rgb, colour)
    if stretch is None:
        _check_daylight(colour)
    return show(colour.on(working_grid(image.grid, working_gsd_m)), stretch)


def _check_grid(image: Layer) -> None:
    """Errors: InputError where the ground size of a pixel is unknown or unfit."""
    if image.grid.crs is None:
        raise InputError(
            f"{image.source} has no CRS, so the ground size of its pixels is unknown, by which buildings are found. "
            f"State it: --gsd METRES (gsd_m=). {REMEDY}"
        )
    size_m = image.gsd_m
    if not AnySize.finest_m <= size_m <= AnySize.coarsest_m:
        raise InputError(
            f"{image.source} has pixels of {size_m:.3g} m; buildings are found in images of {AnySize.finest_m:g} to {AnySize.coarsest_m:g} m. "
            f"Resample it with gdalwarp -tr where it is finer. {REMEDY}"
        )


def _check_daylight(image: Layer) -> None:
    """Errors: InputError for an image by night, or without a valid pixel."""
    bright = bright_value(image)
    if bright is None:
        raise InputError(f"{image.source} has no valid pixel where it was looked at. Check its nodata.")
    if bright < DARKEST:
        raise InputError(
            f"{image.source} is as dark as at night: {BRIGHT_PERCENTILE} % of its values are below {bright:.0f} of 255. "
            f"Stretch it with gdal_translate -scale if it was taken by day. {REMEDY}"
        )


@dataclass(frozen=True)
class BuildingNetwork:
    """The default network for buildings, to look within outlines."""

    run: Run

    @classmethod
    def in_box(cls, device: str = "auto", precision: str = "auto", runtime: str = "torch") -> BuildingNetwork | None:
        """Open it; None without its weights."""
        folder = ShippedModel(SHIPPED).folder
        if not RunFolder(folder).is_run:
            return None
        try:
            run = load_run(folder)
        except RunError:
            return None
        run.segmenter.to(choose(device, precision, runtime=runtime))
        return cls(run)

    def log_odds(self, image: Layer, outlines: Geometries, work: TileWork = TileWork()) -> Floats | None:
        """Return (N,) log-odds of a building within outlines in pixels; None for an image that the network cannot read."""
        try:
            working = to_working_image(image, WORKING_GSD_M)
        except UnreadableError:  # no reason to go on without the network
            raise
        except InputError:
            return None
        (name,) = self.run.inputs.names
        to_working = Affine.scale(*(new / old for new, old in zip(working.shape[::-1], image.shape[::-1], strict=True)))
        shapes = in_pixels(transform_shapes(to_working, shapely.force_2d(outlines)), working.shape)
        scene = Scene({name: working}, working.grid)
        tiling = fitted_tiling(self.run.tiling, shapes)
        logits = pool_scene(self.run.segmenter, scene, shapes, self.run.inputs, tiling, work=work).mean
        built = np.isin(self.run.legend.names, (BUILDING, BORDER))
        odds = scipy.special.logsumexp(logits[:, built], axis=1) - scipy.special.logsumexp(logits[:, ~built], axis=1)
        return np.clip(odds, -MAX_LOG_ODDS, MAX_LOG_ODDS)
