"""Real places that weights in the box may learn from, in the form of the world's pairs: Banepa, Zanzibar and Dubai.

Takes the folder of samples; returns pairs whose two dates are one image, and windows of them. Only buildings are known of the
first two, so that land cover is void elsewhere; of Dubai also roads and water. Tiles 5 and 6 of Dubai are kept aside.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import geopandas as gpd
import numpy as np
from equal_steps import DUBAI, dubai_tiles
from numpy.typing import NDArray
from places.working_grid import in_pixels_of
from rasterio.features import rasterize
from scipy.ndimage import label

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.rasters import Layer, Scene
from world.windows import PairWithTruth

MINICITY = Legend.load("minicity")
BUILDING, ROAD, WATER, OTHER = (MINICITY.value(name) for name in ("building", "impervious", "water", "clutter"))
OTHER_COVER = Legend.load("landcover").value("clutter")
OUTLINED = {  # file → ground size of a pixel, metres, and share of the real sites
    "oam_banepa/banepa_1": (0.132, 0.40),
    "oam_zanzibar/zanzibar_1": (0.148, 0.16),
    "oam_zanzibar/zanzibar_2": (0.148, 0.09),
}
HALVED = 2  # images as fine as these are averaged before they are cut
DUBAI_SHARE = 0.35
DUBAI_TILES = ("tile_1-", "tile_2-", "tile_3-", "tile_4-")
DUBAI_PLOTS = "tile_4-"  # where whole rows of plots are called buildings
DUBAI_GSD_M = (0.3, 1.0)  # not stated, and different from tile to tile: drawn for every site
DUBAI_CLASSES = {"building": BUILDING, "road": ROAD, "water": WATER, "land": OTHER, "vegetation": OTHER}


class Cut(Protocol):
    """What cuts a window out of a pair; `WindowCutter` does."""

    def __call__(self, pair: PairWithTruth, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        """Return one window."""


@dataclass(frozen=True)
class RealSite:
    """One image and what is known of it, as both dates of a pair: (3, H, W) uint8, classes of the legend `minicity` with
    `OTHER` for what is no building, buildings (H, W) int32 with 0 for none, and its share of the real sites."""

    image: ByteImage
    labels: NDArray[np.uint8]
    roofs: NDArray[np.int32]
    share: float
    gsd_m: float
    style: str = "real"

    pre = post = property(lambda self: self.image)
    labels_pre = labels_post = property(lambda self: self.labels)
    roofs_pre = roofs_post = property(lambda self: self.roofs)
    height_pre = height_post = property(lambda self: np.zeros(self.labels.shape, np.float32))


def read_real_sites(folder: Path) -> list[RealSite]:
    """All places below the folder of samples; InputError where one is missing."""
    return [*_outlined(folder), *_dubai(folder / "dubai")]


def dubai_parts(folder: Path, values: Mapping[str, int]) -> Iterator[tuple[ByteImage, NDArray[np.uint8]]]:
    """Image (3, H, W) and the values (H, W) of its classes by name, void 255, of every labelled part of the tiles that are learnt from."""
    table = np.full(256, VOID, np.uint8)
    for one in DUBAI.classes:
        table[one.value] = values[one.name]
    with tempfile.TemporaryDirectory() as masks:
        for name, files in dubai_tiles(folder, Path(masks)).items():
            labels = table[Layer.open(files[Scene.label_layer], labels=True).read()[0][0]]
            if name.startswith(DUBAI_PLOTS):
                labels[labels == values["building"]] = VOID
            if name.startswith(DUBAI_TILES):
                yield Layer.open(files["image"]).read()[0], labels


def mixed_pairs(
    make_pair: Callable[[int], PairWithTruth], sites: Sequence[RealSite], real_share: float
) -> Callable[[int], Any]:
    """Return the function that maps a seed to a real place, in `real_share` of the seeds, or else to the pair that `make_pair` makes of it."""
    shares = np.array([site.share for site in sites])

    def make_mixed_pair(seed: int) -> Any:
        rng = np.random.default_rng([seed, 1])
        if rng.random() >= real_share:
            return make_pair(seed)
        site = sites[rng.choice(len(sites), p=shares / shares.sum())]
        if np.isnan(site.gsd_m):
            return replace(site, gsd_m=float(np.exp(rng.uniform(*np.log(DUBAI_GSD_M)))))
        return site

    return make_mixed_pair


def cut_mixed(cut: Cut) -> Cut:
    """Return the cutter that does the same and, of real sites, makes land cover void where no class is known."""

    def cut_window(pair: PairWithTruth, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        sample = cut(pair, rng)
        if isinstance(pair, RealSite):
            sample["mask"] = np.where(sample["mask"] == OTHER_COVER, np.uint8(VOID), sample["mask"])
        return sample

    return cut_window


def _outlined(folder: Path) -> Iterator[RealSite]:
    """Images with an outline for each building."""
    for name, (gsd_m, share) in OUTLINED.items():
        layer = Layer.open(folder / f"{name}.tif")
        outlines = in_pixels_of(gpd.read_file(folder / f"{name}_buildings.geojson"), layer)
        numbered = [(outline, number) for number, outline in enumerate(outlines, 1)]
        roofs = rasterize(numbered, out_shape=layer.shape, dtype="int32")[::HALVED, ::HALVED]
        bands = layer.read()[0][:3]
        height, width = (side // HALVED for side in layer.shape)
        parts = bands.reshape(3, height, HALVED, width, HALVED)
        image = np.rint(parts.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)
        labels = np.where(roofs > 0, BUILDING, OTHER).astype(np.uint8)
        yield RealSite(image, labels, roofs, share, gsd_m * HALVED)


def _dubai(folder: Path) -> Iterator[RealSite]:
    """Labelled parts of the tiles; buildings that touch are one, and the pixel size is not known."""
    parts = list(dubai_parts(folder, DUBAI_CLASSES))
    for image, labels in parts:
        roofs = label(labels == BUILDING)[0].astype(np.int32)
        yield RealSite(image, labels, roofs, DUBAI_SHARE / len(parts), float("nan"))
