"""Colours: indices of bands, hue-saturation-value, Lab, and histograms of colours.

The first three bands of an infrared composite are taken as red, green and blue; columns then have the bands' names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.feature import DenseFeature, Windows, window_counts
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import COLOURS, excess_green, normalised_difference, role_indices

# index → (a, b): (a − b) / (a + b)
RATIOS = {
    "ndvi": ("nir", "red"),  # Rouse 1974
    "gndvi": ("nir", "green"),  # Gitelson 1996
    "ndwi": ("green", "nir"),  # McFeeters 1996: −GNDVI, by its own name
}
BINS = (16, 8, 8)  # hue, saturation, value
HISTOGRAM_RADIUS_PX = 8


def green_share(red: FloatImage, green: FloatImage, blue: FloatImage) -> FloatImage:
    """Return the excess green of the shares of red, green and blue in their sum, −1…2; 0 where all are 0."""
    total = red + green + blue
    excess = excess_green(red, green, blue)
    return np.clip(np.divide(excess, total, out=np.zeros_like(total), where=total != 0), -1, 2)


def indices(bands: Bands) -> FloatImage:
    """Return the indices that the bands allow, (F, h, w); 0 where both bands are 0."""
    parts = []
    for name in index_names(bands):
        if name == "exg":
            parts.append(green_share(*_in_common_units(bands, *COLOURS)))
        else:
            parts.append(np.nan_to_num(normalised_difference(*_in_common_units(bands, *RATIOS[name])), copy=False))
    return np.stack(parts)


def index_names(bands: Bands) -> list[str]:
    """Return the names of the indices among ndvi, gndvi, ndwi and exg that the bands allow. Raises InputError if they allow none."""
    names = [name for name, roles in RATIOS.items() if bands.has(*roles)] + ["exg"] * bands.has(*COLOURS)
    if not names:
        raise InputError(
            f"there are {', '.join(bands.names)}; colour indices need nir and red, nir and green, or red, green and "
            "blue. Name the bands in the recipe (model.bands={image: [nir, red, green]}) or leave out the feature."
        )
    return names


def _in_common_units(bands: Bands, *roles: str) -> FloatImage:
    """Return bands of one layer as they are, for indices of reflectances; bands of several layers scaled to 0–1."""
    band_of_role = role_indices(bands.names)
    layers = {bands.names[band_of_role[role]].split(".")[0] for role in roles}
    return bands.pick(*roles) if len(layers) == 1 else bands.unit(*roles)


def three_colours(bands: Bands) -> tuple[FloatImage, str]:
    """Return red, green and blue scaled to 0–1, (3, h, w), and "".

    If they are missing, return the first three spectral bands and their names. Raises InputError if there are fewer than three."""
    if bands.has(*COLOURS):
        return bands.unit(*COLOURS), ""
    indices_of_three = bands.spectral_indices()[:3]
    if len(indices_of_three) < 3:
        raise InputError(
            f"there are {', '.join(bands.names)}; colours need red, green and blue, or an image of three bands. Name "
            "the bands in the recipe (model.bands={image: [red, green, blue]}) or leave out the feature."
        )
    band_list = "-".join(bands.names[index].split(".", 1)[-1] for index in indices_of_three)
    return bands.spectral_unit()[:3], f".{band_list}"


def hsv(bands: Bands) -> FloatImage:
    """Return hue, saturation and value, each 0–1, (3, h, w); hue is 0 where saturation is 0."""
    from skimage.color import rgb2hsv

    return rgb2hsv(three_colours(bands)[0], channel_axis=0).astype(np.float32)


def lab(bands: Bands) -> FloatImage:
    """Return CIE L*a*b* under D65 of sRGB values: lightness 0–100, green–red, blue–yellow, (3, h, w)."""
    from skimage.color import rgb2lab

    return rgb2lab(three_colours(bands)[0], channel_axis=0).astype(np.float32)


@dataclass(frozen=True)
class HsvHistogram:
    """Shares of 16 hues, 8 saturations and 8 values in a square of half side `radius_px`, or a superpixel; each sums to
    1.

    Source: Lagrange et al. 2015, who use HSV histograms of superpixels and do not state the bins.
    """

    name: str = "hsv_histogram"
    radius_px: int = HISTOGRAM_RADIUS_PX

    @property
    def halo_px(self) -> int:
        """Half of the square's side."""
        return self.radius_px

    def columns(self, bands: Bands) -> list[str]:
        """Return the names of the 32 columns."""
        suffix = three_colours(bands)[1]
        kinds = zip(("hue", "saturation", "value"), BINS, strict=True)
        return [f"{kind}{number}{suffix}" for kind, count in kinds for number in range(count)]

    def pooled_columns(self, bands: Bands) -> list[str]:
        """Return the names of the columns of superpixels, which are the same."""
        return self.columns(bands)

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return shares in squares around the sites, (32, h, w) float32; only sites are counted."""
        windows = Windows.around_sites(bands.shape, 2 * self.radius_px + 1, stride_px)
        shares = np.zeros((sum(BINS), *windows.shape), np.float32)
        first = 0
        for binned, bins in zip(hsv_bins(bands), BINS, strict=True):
            for present, counts in window_counts(binned, windows):
                shares[first + present] = counts
            first += bins
        return (shares / windows.areas).astype(np.float32)

    def pool(self, bands: Bands, ids: NDArray[np.int32], count: int) -> NDArray[np.float32]:
        """Return shares within each superpixel, (count, 32); 0 for a superpixel without pixels."""
        inside = ids >= 0
        own = ids[inside].astype(np.int64)
        size = np.maximum(np.bincount(own, minlength=count), 1)[:, None]
        parts = [
            np.bincount(own * bins + binned[inside], minlength=count * bins).reshape(count, bins)
            for binned, bins in zip(hsv_bins(bands), BINS, strict=True)
        ]
        return (np.concatenate(parts, axis=1) / size).astype(np.float32)


def hsv_bins(bands: Bands) -> NDArray[np.uint8]:
    """Return the bin of each pixel's hue, saturation and value, (3, h, w)."""
    scale = np.array(BINS, np.float32)[:, None, None]
    return np.minimum(hsv(bands) * scale, scale - 1).astype(np.uint8)


def _names_with_suffix(*kinds: str) -> Callable[[Bands], list[str]]:
    return lambda bands: [kind + three_colours(bands)[1] for kind in kinds]


INDICES = DenseFeature("indices", 0, index_names, indices)
HSV = DenseFeature("hsv", 0, _names_with_suffix("hue", "saturation", "value"), hsv)
LAB = DenseFeature("lab", 0, _names_with_suffix("lightness", "green_red", "blue_yellow"), lab)
HSV_HISTOGRAM = HsvHistogram()
