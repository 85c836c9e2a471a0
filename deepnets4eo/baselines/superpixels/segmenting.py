"""Superpixels of one image held in memory: three methods, one kind of result.

Takes `Bands` of any number of bands; gives ids 0 … N − 1 in the order of the regions' first pixels, each 4-connected.
The same image gives the same ids. Scaling comes from the bands' span, never from the image at hand, so that
neighbouring blocks of a scene agree. Refuses unknown methods and parameters that make no region.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import RegionIds
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.superpixels.connection import connected, merge_small_regions
from deepnets4eo.errors import InputError, name_hint

# said of every image of more than three bands. Once for all: filters set and restored by threads undo each other
warnings.filterwarnings("ignore", message="Got image with third dimension of", category=RuntimeWarning)

Method = Literal["felzenszwalb", "slic", "quickshift"]
METHODS: tuple[Method, ...] = ("felzenszwalb", "slic", "quickshift")
HEIGHTS = ("ndsm", "height")  # the first that there is serves as the extra channel
LIGHTNESS = 100.0  # unit of the colours that SLIC and quickshift see, as in CIELAB
QUICKSHIFT_PX = 0.25  # standard deviation of quickshift's kernel by the side of the wanted region


@dataclass(frozen=True)
class Superpixels:
    """How an image is cut into superpixels.

    area_px : wanted area of a region in pixels; SLIC and quickshift keep near it, for Felzenszwalb a quarter of it is
    the least and `scale` decides. area_m2 : the same in square metres, used where the ground size of a pixel is known.
    scale : Felzenszwalb's preference for big regions, 10–1000 on a logarithmic scale. compactness : SLIC's weight of
    nearness against colour, 1 (ragged) – 100 (squares). colour_weight : quickshift's weight of colour against
    nearness, 0–1. sigma_px : Gaussian smoothing beforehand. height_weight : of the height as an extra channel, 0
    without; 1 counts its range as much as black to white.

    Sources: Felzenszwalb and Huttenlocher, IJCV 2004; Achanta et al., PAMI 2012; Vedaldi and Soatto, ECCV 2008.
    Peak memory: Felzenszwalb 250 bytes a pixel, the others 80.

    >>> halves = np.repeat(np.float32([[[0, 255]]]), 8, axis=1).repeat(4, axis=2)
    >>> Superpixels(area_px=8, sigma_px=0).segment(Bands(halves, ("image.grey",)))[0].tolist()
    [0, 0, 0, 0, 1, 1, 1, 1]
    """

    method: Method = "felzenszwalb"
    area_px: int = 256
    area_m2: float | None = None
    scale: float = 100.0
    compactness: float = 10.0
    colour_weight: float = 0.5
    sigma_px: float = 0.8
    height_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"superpixel method {self.method!r} is unknown. Choose from {', '.join(METHODS)}.")
        positive = {"area_px": self.area_px, "scale": self.scale, "compactness": self.compactness}
        if self.area_m2 is not None:
            positive["area_m2"] = self.area_m2
        wrong = {name: value for name, value in positive.items() if not value > 0}
        wrong |= {name: value for name in ("sigma_px", "height_weight") if not (value := getattr(self, name)) >= 0}
        if not 0 < self.colour_weight <= 1:
            wrong["colour_weight"] = self.colour_weight
        if wrong:
            raise InputError(f"superpixels cannot be made with {wrong}; areas and weights are positive numbers.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values from which `from_dict` makes the same again."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Superpixels:
        """The same from plain values. Errors: InputError for a value or name that is none of ours, with the nearest."""
        for name in values:
            if name not in cls.__dataclass_fields__:
                raise InputError(f"superpixels have no {name!r}. {name_hint(name, cls.__dataclass_fields__)}")
        return cls(**values)

    def check(self, bands: Bands) -> None:
        """Refuse bands that lack what is looked at. Errors: InputError where height_weight is given without a height."""
        self._channels(bands)

    def wanted_px(self, gsd_m: float | None) -> int:
        """Wanted area of a region in pixels."""
        if self.area_m2 is None or gsd_m is None:
            return self.area_px
        return max(1, round(self.area_m2 / gsd_m**2))

    def reach_px(self, gsd_m: float | None = None) -> int:
        """A halo that holds most regions whole: twice the side of the wanted one.

        >>> Superpixels(area_px=256).reach_px()
        32
        """
        return 2 * math.ceil(math.sqrt(self.wanted_px(gsd_m)))

    def segment(self, bands: Bands) -> RegionIds:
        """Ids (h, w) int32, 0 … N − 1 without gaps, of 4-connected regions.

        A constant image is one region to Felzenszwalb and regular ones to SLIC and quickshift.
        Errors: InputError where height_weight is given and no band shows a height.
        """
        wanted = self.wanted_px(bands.gsd_m)
        cut: Callable[[NDArray[np.float32], int], NDArray[np.int_]] = getattr(self, f"_{self.method}")
        image = self._channels(bands)
        ids = connected(cut(image, wanted))
        return merge_small_regions(ids, max(1, wanted // 4))

    def _channels(self, bands: Bands) -> NDArray[np.float32]:
        """(h, w, channels): spectral bands, 0–1 or CIELAB, and the height where it counts."""
        colours = np.moveaxis(bands.spectral_unit(), 0, -1)
        unit = 1.0
        if self.method != "felzenszwalb":
            unit = LIGHTNESS
            colours = _lab(colours) if colours.shape[-1] == 3 else colours * np.float32(unit)
        if not self.height_weight:
            return np.ascontiguousarray(colours)
        shown = next((role for role in HEIGHTS if bands.has(role)), HEIGHTS[-1])
        height = bands.unit(shown)[0] * np.float32(self.height_weight * unit)
        return np.concatenate([colours, height[..., None]], axis=-1)

    def _felzenszwalb(self, image: NDArray[np.float32], wanted: int) -> NDArray[np.int_]:
        from skimage.segmentation import felzenszwalb

        found: NDArray[np.int_] = felzenszwalb(
            image, scale=self.scale, sigma=self.sigma_px, min_size=max(1, wanted // 4), channel_axis=-1
        )
        return found

    def _slic(self, image: NDArray[np.float32], wanted: int) -> NDArray[np.int_]:
        from skimage.segmentation import slic

        count = max(1, round(image.shape[0] * image.shape[1] / wanted))
        span = float(image.max() - image.min()) or 1.0  # which slic divides by: undone, or blocks would differ
        found: NDArray[np.int_] = slic(
            image, n_segments=count, compactness=self.compactness / span, sigma=self.sigma_px, start_label=0,
            convert2lab=False, channel_axis=-1,
        )  # fmt: skip
        return found

    def _quickshift(self, image: NDArray[np.float32], wanted: int) -> NDArray[np.int_]:
        from skimage.segmentation import quickshift

        side = math.sqrt(wanted)
        found: NDArray[np.int_] = quickshift(
            image, ratio=self.colour_weight, kernel_size=max(1.0, QUICKSHIFT_PX * side), max_dist=side,
            sigma=self.sigma_px, convert2lab=False, channel_axis=-1, rng=0,
        )  # fmt: skip
        return found


def _lab(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """CIELAB of three bands; false colours are taken as if they were true ones."""
    from skimage.color import rgb2lab

    lab: NDArray[np.float32] = rgb2lab(colours).astype(np.float32)
    return lab
