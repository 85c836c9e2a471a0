"""Windows of pairs of the world to learn from one image: what it shows, its land cover and its buildings.

Takes a pair with its truth; returns arrays of one size whatever the pair's ground size of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.segmenters import InputSpec, LayerInput
from world.sensor import SensorVariation

GSD_M = 0.5  # ground size of a pixel that the networks work at
BACKGROUND, BUILDING, BORDER = range(3)  # values of the legend `buildings`
BORDER_PX = 5  # side of the square within which another building makes a pixel a border
LOOKALIKE_M = 1.5  # what stands higher and is no building, such as a greenhouse, may look like one
HEIGHTS = LayerInput(("ndsm",), (3.0,), (5.0,), 0.0, 20.0, "float32", "m", optional=True)
INPUTS = InputSpec({"image": LayerInput.display_rgb}, GSD_M)
INPUTS_WITH_HEIGHTS = InputSpec({"image": LayerInput.display_rgb, "ndsm": HEIGHTS}, GSD_M)
HEIGHTS_OFF_M = 1.0  # sideways, at most: surface models and images do not quite agree
HEIGHTS_BLUR_M = 0.8
HEIGHTS_NOISE_M = 0.3


class PairOfImages(Protocol):
    """Images, classes and pixel size of a pair; the world's `PairSample` has them, and what the protocols based on this one add."""

    @property
    def pre(self) -> ByteImage:
        """Image before, (4, H, W) uint8."""

    @property
    def post(self) -> ByteImage:
        """Image after."""

    @property
    def labels_pre(self) -> NDArray[np.uint8]:
        """Classes that it shows, (H, W) uint8, legend `minicity`."""

    @property
    def labels_post(self) -> NDArray[np.uint8]:
        """Classes that the image after shows, (H, W) uint8, legend `minicity`."""

    @property
    def gsd_m(self) -> float:
        """Ground size of a pixel, metres."""


class PairWithTruth(PairOfImages, Protocol):
    """What is read of a pair to learn buildings and land cover from."""

    @property
    def roofs_pre(self) -> NDArray[np.int32]:
        """Buildings that it shows, (H, W) int32, 0 none."""

    @property
    def roofs_post(self) -> NDArray[np.int32]:
        """Buildings that the image after shows, (H, W) int32, 0 none."""

    @property
    def height_pre(self) -> NDArray[np.float32]:
        """Metres above ground of what it shows, (H, W) float32."""

    @property
    def height_post(self) -> NDArray[np.float32]:
        """Metres above ground of what the image after shows, (H, W) float32."""

    @property
    def style(self) -> str:
        """Name of the style."""


@dataclass(frozen=True)
class WindowCutter:
    """Cuts windows of `tile_px` at the working ground size, each at another scale (factors `scales`) and with other
    radiometry. `post_share` shows the second date, `varied_share` another sensor than that of the pair,
    `heights_share` heights as well (None for networks that take none)."""

    tile_px: int = 256
    scales: tuple[float, float] = (0.7, 1.4)
    post_share: float = 0.35
    varied_share: float = 0.7
    variation: SensorVariation = field(default_factory=SensorVariation)
    heights_share: float | None = None

    def __call__(self, pair: PairWithTruth, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        """Cut one window: standardised image (3 or 4, tile_px, tile_px), `mask` and `buildings` in the legends
        `landcover` and `buildings` with void 255, and `valid`."""
        date = "post" if rng.random() < self.post_share else "pre"
        image, *layers = (getattr(pair, f"{name}{date}") for name in ("", "labels_", "roofs_", "height_"))
        scale = np.exp(rng.uniform(*np.log(self.scales)))
        side = min(round(self.tile_px * GSD_M * scale / pair.gsd_m), *image.shape[1:])
        row, col = (int(rng.integers(length - side + 1)) for length in image.shape[1:])
        window = (slice(row, row + side), slice(col, col + side))
        bands = resize_image(image[:, window[0], window[1]], self.tile_px)
        if rng.random() < self.varied_share:
            bands = self.variation(bands, rng)
        labels, roofs, height = (nearest(layer[window], self.tile_px) for layer in layers)
        sample = {"image": bands[:3], "valid": np.ones(labels.shape, bool)}
        if self.heights_share and height.any() and rng.random() < self.heights_share:
            sample["ndsm"] = _measured(height, GSD_M * scale, rng)[None]
        inputs = INPUTS if self.heights_share is None else INPUTS_WITH_HEIGHTS
        return {
            "image": inputs.prepare(sample),
            "mask": _TO_LANDCOVER[labels],
            "buildings": building_classes(roofs, labels, height),
            "valid": sample["valid"] & (labels != VOID),
        }


def building_classes(
    roofs: NDArray[np.int32], labels: NDArray[np.uint8], height: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Return classes (H, W) uint8 of the legend `buildings`: roofs, and borders where two buildings nearly touch. Void
    is what an image does not show (roofs under crowns, destroyed buildings) and what stands like a building and is
    none, such as greenhouses.

    >>> roofs = np.zeros((1, 12), np.int32)
    >>> roofs[0, 2:6], roofs[0, 6:10] = 1, 2
    >>> building_classes(roofs, np.where(roofs > 0, 1, 0).astype(np.uint8), 4 * (roofs > 0).astype(np.float32)).tolist()
    [[0, 0, 1, 1, 2, 2, 2, 2, 1, 1, 0, 0]]
    """
    own = roofs > 0
    classes = np.where(own, np.uint8(BUILDING), np.uint8(BACKGROUND))
    if own.any():
        highest = ndimage.maximum_filter(roofs, BORDER_PX)
        lowest = ndimage.minimum_filter(np.where(own, roofs, np.iinfo(np.int32).max), BORDER_PX)
        classes[(highest > 0) & (lowest < highest)] = BORDER
    classes[own & (labels != _BUILDING_LABEL)] = VOID
    classes[~own & (labels == _BUILDING_LABEL)] = VOID
    classes[~own & (labels == _CLUTTER_LABEL) & (height > LOOKALIKE_M)] = VOID
    return classes


def _minicity_to_landcover() -> NDArray[np.uint8]:
    legend = Legend.load("landcover")
    return Legend.load("minicity").remap_to(legend)


_MINICITY = Legend.load("minicity")
_BUILDING_LABEL, _CLUTTER_LABEL = (_MINICITY.value(name) for name in ("building", "clutter"))
_TO_LANDCOVER = _minicity_to_landcover()


def resize_image(image: ByteImage, side_px: int) -> ByteImage:
    """(C, h, w) to (C, side_px, side_px); means over what a larger pixel covers."""
    if image.shape[1:] == (side_px, side_px):
        return image
    bands = [Image.fromarray(band).resize((side_px, side_px), Image.Resampling.BILINEAR) for band in image]
    return np.stack([np.asarray(band) for band in bands])


def _measured(height: NDArray[np.float32], gsd_m: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Heights (H, W) as a surface model gives them: a little off sideways, smoothed, with noise; metres."""
    off = rng.uniform(-HEIGHTS_OFF_M, HEIGHTS_OFF_M, 2) / gsd_m
    moved = ndimage.shift(height, np.rint(off).astype(int), order=0, mode="nearest")
    smooth = ndimage.gaussian_filter(moved, rng.uniform(0, HEIGHTS_BLUR_M) / gsd_m)
    noise = rng.standard_normal(height.shape, np.float32) * np.float32(rng.uniform(0, HEIGHTS_NOISE_M))
    return np.asarray(smooth + noise, np.float32)


def nearest(layer: NDArray[Any], side_px: int) -> NDArray[Any]:
    """(h, w) to (side_px, side_px), the nearest pixel."""
    rows, cols = (((np.arange(side_px) + 0.5) * length / side_px).astype(int) for length in layer.shape)
    return layer[np.ix_(rows, cols)]
