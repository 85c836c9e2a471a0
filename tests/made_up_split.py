"""Scenes in memory, split into a training and a validation part."""

from __future__ import annotations

import numpy as np

from deepnets4eo.cards import Legend, LegendClass, SplitPart
from deepnets4eo.evaluation import LabelReader, LegendLabels
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.tiling import BlockSplit
from deepnets4eo.training import DataSplit, LabelledScene

SIDE = 128
LEGEND = Legend("two", (LegendClass(3, "low", (255, 0, 0)), LegendClass(7, "high", (0, 255, 0))))
SPLIT = BlockSplit((SIDE, SIDE), 32, 4, {SplitPart.train: 0.6, SplitPart.val: 0.4})


def make_data_split(
    images: list[np.ndarray], labels: list[np.ndarray], split: BlockSplit = SPLIT, kind: str = "blocks"
) -> DataSplit[LabelledScene]:
    scenes = []
    for number, (image, values) in enumerate(zip(images, labels, strict=True)):
        image_layer, label_layer = Layer.open(image), Layer.open(values)
        source = LegendLabels(LabelReader(label_layer, LEGEND), LEGEND)
        scene = Scene({"image": image_layer, "labels": Layer(source)})
        scenes.append(LabelledScene(f"scene{number}", scene, {"image": "image.tif", "labels": "labels.tif"}, source))
    return DataSplit(scenes, [split] * len(scenes), kind)


def random_scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(1, 255, (2, SIDE, SIDE)).astype(np.uint8), rng.choice([3, 7], (SIDE, SIDE)).astype(np.uint8)
