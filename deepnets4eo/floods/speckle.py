"""Speckle of radar images: its strength, and filters that keep the mean of the linear power.

Takes linear power (H, W), NaN in pixels that are not seen: such pixels enter no window and stay NaN. `looks` is the
equivalent number of looks.

The filters are Refined Lee (1981) and Lee-Sigma as improved in 2009. Memory: the image, the result and one more image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.errors import InputError
from deepnets4eo.prefetch import in_order

STRIP_ROWS = 128  # rows that one thread filters at a time; results do not depend on it beyond rounding
REFINED_PX = 7  # window of the refined Lee filter
TARGET_PERCENTILE = 98.0  # Lee 2009: pixels above it may be point targets
BLOCK_PX = 12  # side of the blocks in which looks are measured
MAX_BLOCKS = 4000
FLOOR = 1e-10  # the least power of which a logarithm is taken (−100 dB)


def equivalent_looks(power: FloatImage, block_px: int = BLOCK_PX) -> float:
    """Measure the equivalent number of looks: the commonest mean² / variance of small blocks.

    Blocks with texture or an edge have lower, scattered ratios; the ratios of even ground agree, and make the mode.

    Parameters
    ----------
    power : (H, W) float32, linear, NaN in pixels that are not seen
    block_px : side of the blocks

    Returns
    -------
    float
        The looks, at least 1: between bright walls the ground itself varies more than speckle.

    Raises
    ------
    InputError
        Fewer than nine whole blocks were seen.
    """
    # Blocks of one cover have (mean² / variance) looks, blocks of several covers fewer. The mode over blocks is therefore the looks; the mean
    # or median would be drawn down by towns and fields. It is sought in logarithms, as the ratio of variances is skewed.
    rows, cols = (side // block_px for side in power.shape)
    by_block = power[: rows * block_px, : cols * block_px].reshape(rows, block_px, cols, block_px)
    row, col = np.divmod(np.arange(0, rows * cols, max(1, rows * cols // MAX_BLOCKS)), max(1, cols))
    blocks = by_block[row, :, col].reshape(len(row), block_px**2).astype(np.float64)
    means, variances = blocks.mean(axis=1), blocks.var(axis=1, ddof=1)
    usable = np.isfinite(means) & (means > 0) & (variances > 0)
    if usable.sum() < 9:
        raise InputError(
            f"looks cannot be measured: {int(usable.sum())} blocks of {block_px} × {block_px} px have values, 9 are "
            "needed. Give the number of looks of the product, or a larger image."
        )
    return max(1.0, float(np.exp(_mode(np.log(means[usable] ** 2 / variances[usable])))))


def log_ratio(pre: FloatImage, post: FloatImage) -> FloatImage:
    """Return how much brighter POST is than PRE.

    Parameters
    ----------
    pre, post : (H, W) float32, linear power, NaN in pixels that are not seen

    Returns
    -------
    (H, W) float32
        The ratio in dB: negative for darker ground; NaN in pixels that one date does not see.
    """
    return to_decibel(post) - to_decibel(pre)


def to_decibel(power: FloatImage) -> FloatImage:
    """Return 10 · log10 of linear power, float32; zero and below count as −100 dB, NaN stays."""
    decibel = np.maximum(power, FLOOR)
    np.log10(decibel, out=decibel)
    decibel *= 10
    return np.asarray(decibel, np.float32)


def refined_lee_filter(power: FloatImage, looks: float, workers: int | None = None) -> FloatImage:
    """Filter as Lee does, within the half of a 7 × 7 window that is on the pixel's side of an edge (Lee 1981).

    Parameters
    ----------
    power : (H, W) float32, linear, NaN in pixels that are not seen
    looks : equivalent number of looks
    workers : threads; None: one per core

    Returns
    -------
    (H, W) float32
        Filtered power.
    """
    return _by_strips("refined_strip", power, REFINED_PX // 2, (1 / looks, _EDGE_WINDOWS, _COLUMN_SUMS), workers)


def lee_sigma_filter(
    power: FloatImage,
    looks: float,
    window_px: int = 7,
    target_px: int = 3,
    sigma: float = 0.9,
    workers: int | None = None,
) -> FloatImage:
    """Filter by the pixels of the window whose values speckle by itself explains; bright point targets stay (Lee et al. 2009).

    Parameters
    ----------
    power : (H, W) float32, linear, NaN in pixels that are not seen
    looks : equivalent number of looks
    window_px, target_px : sides of the window, and of the smaller window that finds point targets and a first mean; odd
    sigma : the share of speckle within the range of values that are averaged, above 0 and below 1
    workers : threads; None: one per core

    Returns
    -------
    (H, W) float32
        Filtered power.
    """
    low, high, spread = sigma_range(looks, sigma)
    seen = power[np.isfinite(power)]
    bright = float(np.percentile(seen[:: max(1, seen.size // 1_000_000)], TARGET_PERCENTILE)) if seen.size else np.inf
    half = _half(window_px)
    options = (half, _half(target_px), 1 / looks, low, high, spread**2, np.float32(bright))
    return _by_strips("sigma_strip", power, half, options, workers)


def sigma_range(looks: float, sigma: float) -> tuple[float, float, float]:
    """Return the range around a mean of 1 that contains a share `sigma` of speckle, and its standard deviation there.

    The mean within the range is 1 as well."""
    from scipy.optimize import brentq
    from scipy.special import gammainc, gammaincinv

    if not 0 < sigma < 1:
        raise InputError(f"sigma is {sigma}, a share above 0 and below 1 is expected. Use 0.9, the usual value.")
    scale = 1 / looks

    def below(power: int, value: float) -> float:
        return float(gammainc(looks + power, value / scale))  # share of a moment of speckle up to a value

    def upper(low: float) -> float:
        return float(gammaincinv(looks, below(0, low) + sigma) * scale)

    def share_of_mean(low: float) -> float:
        return below(1, upper(low)) - below(1, low) - sigma

    low = float(brentq(share_of_mean, 0, float(gammaincinv(looks, 1 - sigma)) * scale * (1 - 1e-9)))
    high = upper(low)
    square = (1 + 1 / looks) * (below(2, high) - below(2, low)) / sigma
    return low, high, float(np.sqrt(square - 1))


def _half(window_px: int) -> int:
    if window_px < 3 or window_px % 2 == 0:
        raise InputError(f"a window is {window_px} px wide, an odd number from 3 on is expected. Use 7.")
    return window_px // 2


def _mode(values: NDArray[np.float64]) -> float:
    """Return the value where the density of values is largest, by a Gaussian kernel of Scott's width."""
    width = max(1.06 * float(np.std(values)) * len(values) ** -0.2, 1e-6)
    grid = np.linspace(values.min(), values.max(), 400)
    density = np.array([np.exp(-0.5 * ((values - centre) / width) ** 2).sum() for centre in grid])
    return float(grid[int(density.argmax())])


def _by_strips(
    filter_name: str, power: FloatImage, margin: int, options: tuple[Any, ...], workers: int | None
) -> FloatImage:
    """Run a compiled filter over strips of rows of an image with a margin of NaN."""
    from deepnets4eo.floods import speckle_kernels  # numba comes with an extra, which optical images do not need

    kernel = getattr(speckle_kernels, filter_name)
    image = np.pad(np.asarray(power, np.float32), margin, constant_values=np.nan)
    out = np.full(power.shape, np.nan, np.float32)
    starts = range(0, power.shape[0], STRIP_ROWS)
    for _ in in_order(lambda row: kernel(image, out, row, min(row + STRIP_ROWS, len(out)), *options), starts, workers):
        pass
    return out


def _edge_sides() -> NDArray[np.bool_]:
    """Return (8, 7, 7), the halves of a window on both sides of an edge through the pixel.

    Halves of one edge follow each other: left and right, above and below, and both sides of the two diagonals.
    """
    half = REFINED_PX // 2
    row, col = np.mgrid[-half : half + 1, -half : half + 1]
    down, up = row + col, row - col
    return np.stack([col <= 0, col >= 0, row <= 0, row >= 0, down <= 0, down >= 0, up <= 0, up >= 0])


_SIDES = _edge_sides()
_EDGE_WINDOWS = np.argwhere(_SIDES)[:, 1:].reshape(len(_SIDES), -1, 2)  # (8, 28, 2) rows and columns of each half
_ROWS = _SIDES.sum(axis=1)  # of a half in each column of the window, its first or its last ones
_COLUMN_SUMS = np.where(_SIDES[:, 0] | (_ROWS == 0), _ROWS, REFINED_PX + _ROWS)  # their numbers in `refined_strip`


def filter_names() -> list[str]:
    """Return the names of the filters."""
    return list(FILTERS)


def filter_speckle(power: FloatImage, looks: float, name: str) -> FloatImage:
    """Return linear power (H, W) without speckle, by the filter of a name."""
    return FILTERS[name](power, looks)


FILTERS: dict[str, Callable[[FloatImage, float], FloatImage]] = {
    "refined-lee": refined_lee_filter, "lee-sigma": lee_sigma_filter,
}  # fmt: skip
