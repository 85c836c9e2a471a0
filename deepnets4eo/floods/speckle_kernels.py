"""The filters of `speckle` over some rows of an image, compiled.

Takes linear power (H + 2 m, W + 2 m) float32 with a margin of m pixels, NaN where nothing was seen; writes rows of (H, W).
"""

from __future__ import annotations

import numpy as np
from numba import njit

TARGET_PIXELS = 5  # so many of a target window above it are a point target


@njit(cache=True, nogil=True, error_model="numpy")
def _weigh(value: float, mean: float, variance: float, noise: float) -> float:
    """The linear estimate with the least mean square error, of speckle with variance `noise` around a mean of 1."""
    if variance <= 0.0:
        return mean
    signal = (variance - mean * mean * noise) / (1.0 + noise)
    return mean + max(signal, 0.0) / variance * (value - mean)


@njit(cache=True, nogil=True, error_model="numpy")
def _mean_around(image, row, col, half):  # type: ignore[no-untyped-def]
    """The mean of a small window; NaN where it has no value."""
    total, count = 0.0, 0
    for i in range(row - half, row + half + 1):
        for j in range(col - half, col + half + 1):
            value = image[i, j]
            if value == value:
                total += value
                count += 1
    return total / count if count else np.nan


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc"})  # the sums of a window in any order
def refined_strip(image, out, first, last, noise, windows):  # type: ignore[no-untyped-def]
    """The steepest of four gradients between 3 × 3 means chooses the edge, the mean nearer to that of the middle its side."""
    cols = out.shape[1]
    flat, offsets = image.ravel(), (windows[:, :, 0] + 3) * image.shape[1] + windows[:, :, 1] + 3
    means = np.empty((5, cols + 4))  # 3 × 3 means of rows −2 … 2 around the pixel, in turn
    for row in range(first - 2, first + 2):
        for col in range(cols + 4):
            means[(row + 5) % 5, col] = _mean_around(image, row + 3, col + 1, 1)
    for row in range(first, last):
        for col in range(cols + 4):
            means[(row + 2) % 5, col] = _mean_around(image, row + 5, col + 1, 1)
        above, here, below = (row + 3) % 5, row % 5, (row + 2) % 5
        for col in range(cols):
            value = np.float64(image[row + 3, col + 3])
            if value != value:
                continue
            middle = means[here, col + 2]
            a, b, c = means[above, col], means[above, col + 2], means[above, col + 4]
            d, e = means[here, col], means[here, col + 4]
            f, g, h = means[below, col], means[below, col + 2], means[below, col + 4]
            steepest, side = -1.0, 0
            gradient = abs(a + d + f - c - e - h)
            if gradient > steepest:
                steepest, side = gradient, 0 if abs(d - middle) < abs(e - middle) else 1
            gradient = abs(a + b + c - f - g - h)
            if gradient > steepest:
                steepest, side = gradient, 2 if abs(b - middle) < abs(g - middle) else 3
            gradient = abs(a + b + d - e - g - h)
            if gradient > steepest:
                steepest, side = gradient, 4 if abs(a - middle) < abs(h - middle) else 5
            gradient = abs(b + c + e - d - f - g)
            if gradient > steepest:
                steepest, side = gradient, 6 if abs(c - middle) < abs(f - middle) else 7
            total, square, count = 0.0, 0.0, 0
            corner = row * image.shape[1] + col
            for k in range(offsets.shape[1]):
                other = np.float64(flat[corner + offsets[side, k]])
                seen = other == other
                other = other if seen else 0.0
                total += other
                square += other * other
                count += seen
            mean = total / count
            out[row, col] = _weigh(value, mean, square / count - mean * mean, noise)


@njit(cache=True, nogil=True, error_model="numpy")
def sigma_strip(image, out, first, last, half, target, noise, low, high, noise_within, bright):  # type: ignore[no-untyped-def]
    """A first mean from the target window chooses the range of values that are averaged over the whole window."""
    for row in range(first, last):
        for col in range(out.shape[1]):
            i, j = row + half, col + half
            value = np.float64(image[i, j])
            if value != value:
                continue
            total, square, count, targets = 0.0, 0.0, 0, 0
            for m in range(i - target, i + target + 1):
                for n in range(j - target, j + target + 1):
                    other = np.float64(image[m, n])
                    if other == other:
                        total += other
                        square += other * other
                        count += 1
                        targets += other > bright
            if value > bright and targets >= TARGET_PIXELS:
                out[row, col] = value
                continue
            mean = total / count
            expected = _weigh(value, mean, square / count - mean * mean, noise)
            least, most = low * expected, high * expected
            total, square, count = 0.0, 0.0, 0
            for m in range(i - half, i + half + 1):
                for n in range(j - half, j + half + 1):
                    other = np.float64(image[m, n])
                    if other >= least and other <= most:
                        total += other
                        square += other * other
                        count += 1
            if count == 0:
                out[row, col] = value  # beside a target the first mean is none of the window's values
                continue
            mean = total / count
            out[row, col] = _weigh(value, mean, square / count - mean * mean, noise_within)
