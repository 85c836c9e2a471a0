"""Sample coherence of two complex images in moving windows, each with the fringe of its block taken out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Floats, Mask, Spectrum
from deepnets4eo.errors import InputError
from deepnets4eo.interferometry.fringes import FringeField
from deepnets4eo.interferometry.looks import CoherenceBias, Correlation

MIN_SEEN_SHARE = 0.75  # share of a window's pixels with values; below, its coherence is void
LEVELS = 5  # numbers of looks between MIN_SEEN_SHARE and all pixels, each with its own bias


def interferometric_coherence(pre: Spectrum, post: Spectrum, window: tuple[int, int] = (7, 7)) -> FloatImage:
    """Return the coherence of two complex images in memory.

    The local fringe is removed before pixels are averaged, and the bias of few looks after (Touzi et al. 1999).

    Parameters
    ----------
    pre, post : (H, W) complex64 on one grid; 0 and values that are not finite count as no data
    window : rows and columns of the moving window, odd

    Returns
    -------
    (H, W) float32
        Coherence, 0–1; NaN if less than three quarters of a window have values, or if no fringe is near.

    Raises
    ------
    InputError
        Shapes differ, a side of the window is even, or no fringe rises above noise anywhere.
    """
    if pre.shape != post.shape or pre.ndim != 2:
        raise InputError(f"the images are {pre.shape} and {post.shape}, expected two of one shape (H, W).")
    check_window(window)
    valid = has_values(pre) & has_values(post)
    fringes, correlation = FringeField.empty(pre.shape), Correlation(window)
    scan_tile(
        (0, 0),
        _padded(pre, FringeField.margin_px),
        _padded(post, FringeField.margin_px),
        _padded(valid, FringeField.margin_px),
        fringes,
        correlation,
    )
    check_fringes(fringes, "the images")
    rows, cols = (size // 2 for size in window)
    pads = tuple(_padded(part, rows, cols) for part in (pre, post, valid))
    raw, share = sample_coherence(pads[0], pads[1], pads[2], fringes.fill().cycles, window)
    corrected = without_bias(raw, share, correlation.independent_looks())
    return corrected[: pre.shape[0], : pre.shape[1]]


def check_window(window: tuple[int, int]) -> None:
    """Refuse windows without a middle, and larger than a block. Raises InputError."""
    if any(size % 2 == 0 or not 1 <= size <= FringeField.block_px for size in window):
        raise InputError(
            f"the window is {window[0]} × {window[1]} pixels, expected odd sides of 1 to {FringeField.block_px - 1}."
        )


def check_fringes(fringes: FringeField, names: str) -> None:
    """Refuse images without a block that has a fringe. Raises InputError."""
    if not fringes.measured_share:
        raise InputError(
            f"{names}: no fringe rises above the noise of the phase in any block of {FringeField.block_px} pixels, so the phase of the flat "
            "earth cannot be removed. Check that one image was resampled to the other to a tenth of a pixel (coregistration), that both have "
            "one orbit and one swath, and that the days between them are few."
        )


def has_values(image: Spectrum) -> Mask:
    """Return which pixels have values: finite and not exactly 0."""
    return np.asarray(np.isfinite(image) & (image != 0))


def scan_tile(
    block: tuple[int, int], pre: Spectrum, post: Spectrum, valid: Mask, fringes: FringeField, correlation: Correlation
) -> None:
    """Measure the fringes and the correlation of a tile with `FringeField.margin_px` around whole blocks; `block`: its first one."""
    inner = slice(FringeField.margin_px, -FringeField.margin_px)
    correlation.add((pre[inner, inner], post[inner, inner]), valid[inner, inner])
    product = np.where(valid, pre, 0) * np.where(valid, post, 0).conj()
    phase = np.asarray(product / np.maximum(np.abs(product), np.float32(1e-30)), np.complex64)
    fringes.measure(block, phase, valid)


def sample_coherence(
    pre: Spectrum, post: Spectrum, valid: Mask, cycles: Floats, window: tuple[int, int]
) -> tuple[FloatImage, FloatImage]:
    """Return the sample coherence (H, W) of whole blocks, 0–1 or NaN, and the share of each window that has values.

    pre, post, valid : with half a window around; cycles : (2, rows, cols) of the blocks, NaN if unknown
    """
    pre, post = (np.where(valid, part, 0).astype(np.complex64) for part in (pre, post))
    cross = _in_blocks(pre * post.conj(), window)
    down, right = (np.arange(size) for size in cross.shape[2:])
    known = np.isfinite(cycles).all(axis=0)
    turn = -2j * np.pi * np.where(known, cycles, 0)[..., None]
    cross = cross * np.exp(turn[0] * down)[..., :, None] * np.exp(turn[1] * right)[..., None, :]
    total = _joined(np.abs(_sums(cross, window)))
    power = [_joined(_sums(_in_blocks(np.abs(part) ** 2, window).astype(np.float64), window)) for part in (pre, post)]
    share = _joined(_sums(_in_blocks(valid, window).astype(np.float64), window)) / (window[0] * window[1])
    middle = valid[window[0] // 2 : valid.shape[0] - window[0] // 2, window[1] // 2 : valid.shape[1] - window[1] // 2]
    usable = (
        (share >= MIN_SEEN_SHARE - 1e-9)
        & middle
        & np.repeat(np.repeat(known, FringeField.block_px, axis=0), FringeField.block_px, axis=1)
    )
    product = np.sqrt(power[0] * power[1])
    usable &= product > 0
    raw = np.where(usable, total / np.where(usable, product, 1), np.nan)
    return np.clip(raw, 0, 1).astype(np.float32), share.astype(np.float32)


def without_bias(raw: FloatImage, share: FloatImage, looks: float) -> FloatImage:
    """Return coherence without the bias of its looks: of a full window, times the share of the window that has values."""
    # A window that voids cut has fewer looks and a larger bias: next to water or the edge of a swath coherence would rise. The table of a
    # bias takes some time, so that shares are rounded up to a few levels: a cut window is corrected too little rather than too much.
    level = np.clip(np.ceil((share - MIN_SEEN_SHARE) / (1 - MIN_SEEN_SHARE) * LEVELS - 1e-6), 0, LEVELS).astype(int)
    corrected = np.full_like(raw, np.nan)
    for number in np.unique(level[np.isfinite(raw)]):
        part = (level == number) & np.isfinite(raw)
        corrected[part] = CoherenceBias(looks * (MIN_SEEN_SHARE + (1 - MIN_SEEN_SHARE) * number / LEVELS)).correct(
            raw[part]
        )
    return corrected


def _padded(part: NDArray[Any], rows: int, cols: int | None = None) -> NDArray[Any]:
    """Return an image (h, w) with zeros around, up to whole blocks and a margin."""
    cols = rows if cols is None else cols
    height, width = (-side % FringeField.block_px for side in part.shape)
    return np.pad(part, ((rows, rows + height), (cols, cols + width)))


def _in_blocks(part: NDArray[Any], window: tuple[int, int]) -> NDArray[Any]:
    """Return views (rows, cols, h, w) of blocks with half a window around each."""
    size = (FringeField.block_px + window[0] - 1, FringeField.block_px + window[1] - 1)
    return sliding_window_view(part, size)[:: FringeField.block_px, :: FringeField.block_px]


def _sums(part: NDArray[Any], window: tuple[int, int]) -> NDArray[Any]:
    """Return the sums of moving windows over the last two axes."""
    for axis, size in zip((-2, -1), window, strict=True):
        total = np.cumsum(part, axis=axis)
        total = np.concatenate((np.zeros_like(total.take([0], axis=axis)), total), axis=axis)
        ends = np.arange(size, total.shape[axis])
        part = total.take(ends, axis=axis) - total.take(ends - size, axis=axis)
    return part


def _joined(part: NDArray[Any]) -> NDArray[Any]:
    """Put blocks (rows, cols, FringeField.block_px, FringeField.block_px) back into an image."""
    rows, cols = part.shape[:2]
    return part.transpose(0, 2, 1, 3).reshape(rows * FringeField.block_px, cols * FringeField.block_px)
