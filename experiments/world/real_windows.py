"""Labelled parts of real images in the place of pairs of the world: Dubai (CC0), whose pixel size is not stated.

Takes a folder of tile_*/images/*.jpg and tile_*/masks/*.png; returns what windows are cut from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from equal_steps import DUBAI, dubai_tiles
from numpy.typing import NDArray
from scipy import ndimage

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.rasters.scene import LABELS, Layer

GSD_RANGE_M = (0.5, 1.0)  # drawn for each scene; windows vary it once more, by 0.7 to 1.4
MINICITY = {"building": "building", "land": "clutter", "road": "impervious", "vegetation": "low_vegetation", "water": "water"}  # fmt: skip


@dataclass(frozen=True)
class RealImage:
    """One labelled image, the same before and after; buildings are the connected parts of their class."""

    pre: ByteImage
    labels_pre: NDArray[np.uint8]
    roofs_pre: NDArray[np.int32]
    height_pre: NDArray[np.float32]
    gsd_m: float
    style: str = "real"

    post = property(lambda self: self.pre)
    labels_post = property(lambda self: self.labels_pre)
    roofs_post = property(lambda self: self.roofs_pre)
    height_post = property(lambda self: self.height_pre)


def read_real_images(folder: Path, labels: Path) -> Callable[[int], RealImage]:
    """Return the function that draws an image and its pixel size by a seed. Masks are written into the folder `labels` as rasters of values."""
    minicity = Legend.load("minicity")
    values = np.full(256, VOID, np.uint8)
    for one in DUBAI.classes:
        values[one.value] = minicity.value(MINICITY[one.name])
    images = []
    for files in dubai_tiles(folder, labels).values():
        image, classes = (
            Layer.open(files["image"]).read()[0],
            values[Layer.open(files[LABELS], labels=True).read()[0][0]],
        )
        roofs = ndimage.label(classes == minicity.value("building"))[0].astype(np.int32)
        images.append((np.concatenate([image[:3], image[:1]]), classes, roofs, np.zeros(classes.shape, np.float32)))

    def draw(seed: int) -> RealImage:
        rng = np.random.default_rng([seed, 1])
        return RealImage(*images[rng.integers(len(images))], float(np.exp(rng.uniform(*np.log(GSD_RANGE_M)))))

    return draw
