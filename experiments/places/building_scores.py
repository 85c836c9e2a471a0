"""Buildings out of one image by a run, and how well they agree with the reference: pixels and objects.

Takes a run that labels pixels and scenes on the working grid; returns counts that add up over the scenes of a site.
Refuses runs that do not read three bands of one layer, or have no class of buildings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID
from deepnets4eo.damage.find_buildings import (
    BORDER,
    BUILDING,
    LEAST_PROBABILITY,
    outline_buildings,
    sure_buildings,
)
from deepnets4eo.errors import InputError
from deepnets4eo.metrics import ConfusionMatrix, DetectionScores, evaluate_detections
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.segmenters.any_size import takes_any_size
from deepnets4eo.segmenters.run import Run
from places.working_grid import BuildingScene

WORKING_GSD_M = 0.5
FINEST_M, COARSEST_M = 0.3, 1.0
THRESHOLD = 0.5
PACKED_ONE = 254.0  # a probability of one in the raster of probabilities


@dataclass(frozen=True)
class BuildingMap:
    """What a run says about one scene.

    Parameters
    ----------
    probability
        (H, W) float32 of a building, borders between buildings included, 0–1.
    outlines
        As the damage job traces them, in the grid's CRS.
    network_s
        Seconds within the network.
    """

    probability: NDArray[np.float32]
    outlines: gpd.GeoDataFrame
    network_s: float = 0.0

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W), True where a building is likelier than not."""
        return self.probability >= THRESHOLD


@dataclass(frozen=True)
class BuildingScores:
    """Agreement on a site, from counts of all its scenes.

    Parameters
    ----------
    pixels
        Confusion of not building (0) and building (1).
    hits, false_alarms, missed
        Objects at an intersection over union of more than one half.
    """

    pixels: ConfusionMatrix
    hits: int = 0
    false_alarms: int = 0
    missed: int = 0

    def __add__(self, other: BuildingScores) -> BuildingScores:
        """Counts of both."""
        return BuildingScores(
            self.pixels + other.pixels, self.hits + other.hits, self.false_alarms + other.false_alarms,
            self.missed + other.missed,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values: IoU, precision and recall of pixels; F1, precision and recall of objects."""
        objects = 2 * self.hits + self.false_alarms + self.missed
        called, true = self.hits + self.false_alarms, self.hits + self.missed
        return {
            "iou": float(self.pixels.iou[1]),
            "precision": float(self.pixels.precision[1]),
            "recall": float(self.pixels.recall[1]),
            "object_f1": 2 * self.hits / objects if objects else float("nan"),
            "object_precision": self.hits / called if called else float("nan"),
            "object_recall": self.hits / true if true else float("nan"),
            "objects": true,
        }


def working_gsd_m(run: Run) -> float:
    """Pixel size to bring images to, metres: that of the training, between 0.3 and 1; 0.5 where it is not known."""
    return float(np.clip(run.inputs.gsd_m or WORKING_GSD_M, FINEST_M, COARSEST_M))


def check_reads_colours(run: Run) -> None:
    """Refuse a run that cannot label red, green and blue. Errors: InputError, LabelError without the class building."""
    run.legend.value(BUILDING)
    needed = {name: len(layer.bands) for name, layer in run.inputs.layers.items() if not layer.optional}
    if list(needed.values()) != [3]:
        raise InputError(
            f"{run.folder} takes {needed}, expected one layer of 3 bands: the real images have red, green and blue alone. "
            "Give a run of these."
        )


def find_buildings(run: Run, scene: BuildingScene, least: float = LEAST_PROBABILITY) -> BuildingMap:
    """Label a scene as users do, by windows, and outline the regions that are likelier buildings than not.

    least : as of `sure_buildings`, where the run is the default network for buildings or learnt like it.
    """
    of_world = takes_any_size(run.recipe)
    layer = next(name for name, one in run.inputs.layers.items() if not one.optional)
    names = run.legend.names
    indices = [names.index(name) for name in (BUILDING, BORDER) if name in names]
    with TemporaryDirectory() as folder:
        probabilities = Path(folder) / "probabilities.tif"
        options = PredictOptions(probabilities=probabilities, precision="float32")
        image = Layer.open(scene.image, grid=scene.grid)
        prediction = predict(run, Scene({layer: image}), Path(folder) / "labels.tif", options)
        packed, valid = Layer.open(probabilities).read()
        labels = Layer.open(Path(folder) / "labels.tif").read()[0][0]
        known = np.where(scene.reference != VOID, labels, VOID).astype(np.uint8)
        outlines = outline_buildings(Layer.open(known, grid=scene.grid), run.legend)
        if of_world:
            outlines = sure_buildings(outlines, Layer.open(probabilities), run.legend, least)
    share = np.where(valid, packed[indices].sum(axis=0, dtype=np.float32) / PACKED_ONE, 0)
    return BuildingMap(share, outlines, prediction.network_s)


def score_buildings(scene: BuildingScene, result: BuildingMap) -> BuildingScores:
    """Pixels and objects of one scene against its reference; void pixels count neither way."""
    pixels = ConfusionMatrix(2).update(scene.reference, result.mask.astype(np.uint8))
    if not len(result.outlines) or not len(scene.objects):
        missed = int((~scene.objects["difficult"].to_numpy(bool)).sum()) if len(scene.objects) else 0
        return BuildingScores(pixels, 0, len(result.outlines), missed)
    matched: DetectionScores = evaluate_detections(result.outlines, scene.objects)
    return BuildingScores(pixels, matched.hits, matched.false_alarms, matched.missed)
