"""Superpixels of one image in memory: three methods, one kind of result; the same image has the same ids.

Values are scaled by the bands' span, never by the image itself, so that neighbouring blocks of a scene agree."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deepnets4eo.arrays import RegionIds
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.superpixels.connection import connected_regions, merge_small_regions
from deepnets4eo.options import option_group, options_from, plain_options

# raised for every image of more than three bands. Set once, for calls from here alone: filters that threads set and
# restore would interfere
warnings.filterwarnings(
    "ignore", message="Got image with third dimension of", category=RuntimeWarning, module=re.escape(__name__)
)

Method = Literal["felzenszwalb", "slic", "quickshift"]
METHODS: tuple[Method, ...] = ("felzenszwalb", "slic", "quickshift")
HEIGHTS = ("ndsm", "height")  # the first one found is the extra channel
LIGHTNESS = 100.0  # range of the colours for SLIC and quickshift, as in CIELAB
QUICKSHIFT_PX = 0.25  # standard deviation of quickshift's kernel as a share of the side of a region


@option_group
class Superpixels:
    """How an image is cut into superpixels. Peak memory: Felzenszwalb 250 bytes a pixel, the others 80.

    Parameters
    ----------
    method
        "felzenszwalb" (Felzenszwalb and Huttenlocher, IJCV 2004), "slic" (Achanta et al., PAMI 2012) or "quickshift"
        (Vedaldi and Soatto, ECCV 2008).
    area_px, area_m2
        Desired area of a region, in square metres where the ground size of a pixel is known. SLIC and quickshift come
        near it; for Felzenszwalb a quarter of it is the smallest area and `scale` decides.
    scale
        Felzenszwalb's preference for large regions, 10 to 1000, on a logarithmic scale.
    compactness
        SLIC's weight of distance against colour, 1 (ragged regions) to 100 (squares).
    colour_weight
        Quickshift's weight of colour against distance, above 0, up to 1.
    sigma_px
        Standard deviation in pixels of the Gaussian smoothing beforehand; 0 for none.
    height_weight
        Weight of the height as an extra channel; 0 for none, 1 counts its range as much as black to white.

    Raises
    ------
    InputError
        For an unknown method, and for a value out of range.

    Examples
    --------
    >>> halves = np.repeat(np.float32([[[0, 255]]]), 8, axis=1).repeat(4, axis=2)
    >>> Superpixels(area_px=8, sigma_px=0).segment(Bands(halves, ("image.grey",)))[0].tolist()
    [0, 0, 0, 0, 1, 1, 1, 1]
    """

    method: Method = "felzenszwalb"
    area_px: int = Field(default=256, ge=1)
    area_m2: float | None = Field(default=None, gt=0)
    scale: float = Field(default=100.0, gt=0)
    compactness: float = Field(default=10.0, gt=0)
    colour_weight: float = Field(default=0.5, gt=0, le=1)
    sigma_px: float = Field(default=0.8, ge=0)
    height_weight: float = Field(default=0.0, ge=0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values from which `from_dict` makes the same again."""
        return plain_options(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Superpixels:
        """Make superpixels from plain values. Errors: InputError for a wrong value or an unknown name, with the nearest."""
        return options_from(cls, values, "superpixels")

    def check_bands(self, bands: Bands) -> None:
        """Check that bands have what is used. Errors: InputError where height_weight is above 0 and no band is a height."""
        self._channels(bands)

    def wanted_px(self, gsd_m: float | None) -> int:
        """Return the desired area of a region in pixels."""
        if self.area_m2 is None or gsd_m is None:
            return self.area_px
        return max(1, round(self.area_m2 / gsd_m**2))

    def reach_px(self, gsd_m: float | None = None) -> int:
        """Return a halo that contains most regions completely: twice the side of a region of the desired area."""
        return 2 * math.ceil(math.sqrt(self.wanted_px(gsd_m)))

    def segment(self, bands: Bands) -> RegionIds:
        """Return ids (h, w) int32, 0 … N − 1 without gaps in the order of first pixels, of 4-connected regions.

        A constant image is one region with Felzenszwalb, else regular ones. Errors: those of `check_bands`."""
        target_px = self.wanted_px(bands.gsd_m)
        cut: Callable[[NDArray[np.float32], int], NDArray[np.int_]] = getattr(self, f"_{self.method}")
        image = self._channels(bands)
        ids = connected_regions(cut(image, target_px))
        return merge_small_regions(ids, max(1, target_px // 4))

    def _channels(self, bands: Bands) -> NDArray[np.float32]:
        """Return (h, w, channels): spectral bands, 0–1 or CIELAB, and the height where height_weight is above 0."""
        colours = np.moveaxis(bands.spectral_unit(), 0, -1)
        unit = 1.0
        if self.method != "felzenszwalb":
            unit = LIGHTNESS
            colours = _lab(colours) if colours.shape[-1] == 3 else colours * np.float32(unit)
        if not self.height_weight:
            return np.ascontiguousarray(colours)
        role = next((role for role in HEIGHTS if bands.has(role)), HEIGHTS[-1])
        height = bands.unit(role)[0] * np.float32(self.height_weight * unit)
        return np.concatenate([colours, height[..., None]], axis=-1)

    def _felzenszwalb(self, image: NDArray[np.float32], target_px: int) -> NDArray[np.int_]:
        from skimage.segmentation import felzenszwalb

        regions: NDArray[np.int_] = felzenszwalb(
            image, scale=self.scale, sigma=self.sigma_px, min_size=max(1, target_px // 4), channel_axis=-1
        )
        return regions

    def _slic(self, image: NDArray[np.float32], target_px: int) -> NDArray[np.int_]:
        from skimage.segmentation import slic

        count = max(1, round(image.shape[0] * image.shape[1] / target_px))
        span = float(image.max() - image.min()) or 1.0  # slic divides by it: undone here, or blocks would differ
        regions: NDArray[np.int_] = slic(
            image, n_segments=count, compactness=self.compactness / span, sigma=self.sigma_px, start_label=0,
            convert2lab=False, channel_axis=-1,
        )  # fmt: skip
        return regions

    def _quickshift(self, image: NDArray[np.float32], target_px: int) -> NDArray[np.int_]:
        from skimage.segmentation import quickshift

        side = math.sqrt(target_px)
        regions: NDArray[np.int_] = quickshift(
            image, ratio=self.colour_weight, kernel_size=max(1.0, QUICKSHIFT_PX * side), max_dist=side,
            sigma=self.sigma_px, convert2lab=False, channel_axis=-1, rng=0,
        )  # fmt: skip
        return regions


def _lab(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return CIELAB of three bands; false colours are treated as red, green and blue."""
    from skimage.color import rgb2lab

    lab: NDArray[np.float32] = rgb2lab(colours).astype(np.float32)
    return lab
