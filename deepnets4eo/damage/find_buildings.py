"""Buildings where no footprints exist: a segmenter labels an image, the regions of its class become outlines.

Takes an image and a trained run; returns polygons for the damage job. Refuses runs without such a class, images that do
not fit the run, and images in which nothing of the class is found.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from deepnets4eo.errors import InputError
from deepnets4eo.polygons import Shaping, polygonize
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.segmenters.run import load_run

if TYPE_CHECKING:
    import geopandas as gpd

BUILDING = "building"
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
        Run folder.
    image
        Image from which the run's first layer is read.
    labels
        Where the label raster is written and kept; one that is there is replaced, or used where `options` resume.
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
        Polygons in the image's CRS with `id`, `class`, `value` and `area_m2` (m²). Touching buildings are one. Peak
        memory: that of `predict`, then of `polygonize`.

    Raises
    ------
    RunError
        The image does not fit the run.
    LabelError
        The run's legend has no such class.
    InputError
        The image shows no such building.

    Examples
    --------
    ::

        footprints = buildings_of("runs/unet", Layer.open("pre.tif"), Path("labels.tif"))
        assess("pre.tif", "post.tif", footprints)
    """
    loaded = load_run(run)
    value = loaded.legend.value(class_name)
    logger.info("no footprints: the run %s looks for them in %s", run, image.source)
    options = options or PredictOptions(overwrite=True)
    if not (options.resume and labels.is_file()):
        predict(loaded, image, labels, options, progress=progress)
    buildings = polygonize(Layer.open(labels), {value: class_name}, shaping)
    if not len(buildings):
        raise InputError(
            f"the run {run} finds no {class_name} of {shaping.min_area_m2:g} m² or more in {image.source}. "
            "Give footprints, or a run that was trained on such images."
        )
    logger.info("%d buildings found", len(buildings))
    return buildings
