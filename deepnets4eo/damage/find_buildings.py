"""Buildings where no footprints exist: a segmenter labels an image, the regions of its class become outlines.

Takes an image and a trained run, by default the one that comes with the toolbox; returns polygons for the damage job,
without those that the default network for buildings is not sure of.
Refuses runs without such a class, images that do not fit the run, and images in which nothing of the class is found.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from affine import Affine

from deepnets4eo.cards.legend import Legend
from deepnets4eo.damage.building_image import to_working_image
from deepnets4eo.damage.outline_probability import PROBABILITY
from deepnets4eo.errors import InputError
from deepnets4eo.grid import gsd_m, mean_gsd_m, transform_shapes
from deepnets4eo.polygons import Shaping, grow_into_borders, polygonize
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.segmenters.any_size import takes_any_size
from deepnets4eo.segmenters.run import load_run
from deepnets4eo.tiling.scores import PACKED_ONE
from deepnets4eo.zonal import band_sums

if TYPE_CHECKING:
    import geopandas as gpd

SHIPPED = "buildings"  # name of the model that comes with the toolbox
BUILDING, BORDER = "building", "border"
BORDER_REACH_M = 1.0  # half the width of the borders that it was taught
INNER_SHARE = 0.3  # of its area that a small house in a row has at least without its borders
LEAST_PROBABILITY = 0.7  # mean over an outline of runs that take any ground size: of those below, six in seven match no building (SYNTHETIC)
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
) -> gpd.GeoDataFrame:
    """Find the buildings of an image with a run that labels pixels (Audebert et al., Remote Sensing 9(4):368, 2017).

    Parameters
    ----------
    run
        Run folder, or the name of a model with weights: "buildings", which takes optical images of 0.2 to 1.5 m a pixel.
    image
        Image from which the run's first layer is read.
    labels
        Where the label raster is written and kept; one that is there is replaced, or used where `options` resume. The
        probabilities of the default network for buildings are kept beside it.
    class_name
        Class of the buildings in the run's legend.
    shaping
        Least area and simplification of the outlines.
    options
        How the image is labelled.
    progress
        Called with the share of the image that is labelled, 0–1.

    Returns
    -------
    geopandas.GeoDataFrame
        Polygons in the image's CRS with `id`, `class`, `value` and `area_m2` (m²). Touching buildings are one, unless the
        run's legend has a class "border" between them. With the default network for buildings `building_prob` as well, and only those of
        `sure_buildings`. Peak memory: that of `predict`, then of `polygonize`.

    Raises
    ------
    RunError
        The image does not fit the run, or the run is damaged.
    LabelError
        The run's legend has no such class.
    InputError
        The image shows no such building, or is none that the model "buildings" takes.

    Examples
    --------
    ::

        footprints = buildings_of("runs/unet", Layer.open("pre.tif"), Path("labels.tif"))
        assess("pre.tif", "post.tif", footprints)
    """
    loaded = load_run(run)
    loaded.legend.value(class_name)  # refuses runs that know no buildings before the image is labelled
    logger.info("no footprints: the run %s looks for them in %s", run, image.source)
    options, probabilities = options or PredictOptions(overwrite=True), None
    if takes_any_size(loaded.recipe):
        image = to_working_image(image, loaded.inputs.gsd_m or mean_gsd_m(image.grid))
        probabilities = labels.with_name(f"{labels.stem}_probabilities.tif")
        # labels without their probabilities, as of an earlier version, cannot be resumed: they are replaced
        options = replace(options, probabilities=probabilities, overwrite=options.overwrite or options.resume)
    if not (options.resume and all(file.is_file() for file in (labels, probabilities) if file is not None)):
        predict(loaded, image, labels, options, progress=progress)
    buildings = outline_buildings(Layer.open(labels), loaded.legend, class_name, shaping)
    if probabilities is not None:
        buildings = sure_buildings(buildings, Layer.open(probabilities), loaded.legend)
    if not len(buildings):
        raise InputError(
            f"the run {run} finds no {class_name} of {shaping.min_area_m2:g} m² or more that it is sure of in {image.source}. "
            "Give footprints, or a run that was trained on such images."
        )
    logger.info("%d buildings found", len(buildings))
    return buildings


def sure_buildings(
    buildings: gpd.GeoDataFrame, probabilities: Layer, legend: Legend, least: float = LEAST_PROBABILITY
) -> gpd.GeoDataFrame:
    """Leave out the outlines within which the network is not sure on the whole that there is a building.

    Parameters
    ----------
    buildings
        The same as in `outline_buildings`.
    probabilities
        The probabilities of the classes of the legend, as `predict` writes them: value / 254.
    legend
        Has the class "building"; pixels of its class "border", if it has one, are buildings as well.
    least
        Mean probability of a building over the pixels of an outline from which it is kept, 0–1.

    Returns
    -------
    geopandas.GeoDataFrame
        The outlines that are kept, in their order, with the mean as `building_prob`; `id` counts them anew.
    """
    bands = [legend.names.index(name) for name in (BUILDING, BORDER) if name in legend.names]
    mean = band_sums(probabilities, buildings).mean[:, bands].sum(axis=1) / PACKED_ONE
    kept = buildings.assign(**{PROBABILITY: mean})[mean >= least].reset_index(drop=True)
    logger.info(
        "%d outlines are left out: the network is sure of them by less than %g", len(buildings) - len(kept), least
    )
    return _numbered(kept)


def outline_buildings(
    labels: Layer, legend: Legend, class_name: str = BUILDING, shaping: Shaping = SHAPING
) -> gpd.GeoDataFrame:
    """Outline the buildings of a label raster; where the legend has borders between buildings, touching ones are kept apart.

    Parameters
    ----------
    labels
        Values of the legend.
    legend
        The legend; its class "border", if it has one, lies where two buildings touch.
    class_name
        Class of the buildings.
    shaping
        Least area and simplification of the outlines.

    Returns
    -------
    geopandas.GeoDataFrame
        Polygons in the raster's CRS with `id`, `class`, `value` and `area_m2` (m²); none where there is no building.

    Raises
    ------
    LabelError
        The legend has no such class.
    """
    value = legend.value(class_name)
    if BORDER in legend.names:
        return _separate(labels, {value: class_name}, legend.value(BORDER), shaping)
    return polygonize(labels, {value: class_name}, shaping)


def _separate(labels: Layer, classes: dict[int, str], border_value: int, shaping: Shaping) -> gpd.GeoDataFrame:
    """Outlines grown into the borders that keep touching buildings apart; those that are large enough after it."""
    inner = replace(shaping, min_area_m2=shaping.min_area_m2 * INNER_SHARE)
    buildings = polygonize(labels, classes, inner)
    borders = polygonize(labels, {border_value: BORDER})
    row_m, col_m = gsd_m(labels.grid)
    to_metres = Affine.scale(col_m, row_m) * ~labels.grid.affine
    outlines, between = (transform_shapes(to_metres, frame.geometry.to_numpy()) for frame in (buildings, borders))
    grown = grow_into_borders(outlines, between, BORDER_REACH_M)
    ground = transform_shapes(~to_metres, grown)
    valid = shapely.is_valid(ground)  # rounding can make two corners meet
    separate = buildings.set_geometry(np.where(valid, ground, buildings.geometry.to_numpy()), crs=buildings.crs)
    separate = separate.assign(area_m2=shapely.area(np.where(valid, grown, outlines)))
    return _numbered(separate[separate["area_m2"] >= shaping.min_area_m2].reset_index(drop=True))


def _numbered(buildings: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The same with `id` from 1."""
    return buildings.assign(id=[str(number) for number in range(1, len(buildings) + 1)])
