"""The filters of `speckle` over some rows of an image, compiled.

Takes linear power (H + 2 m, W + 2 m) float32 with a margin of m pixels, NaN in pixels that are not seen; writes rows of (H, W).
"""

from __future__ import annotations

import numpy as np
from numba import njit

TARGET_PIXELS = 5  # so many of a target window above it are a point target


@njit(cache=True, nogil=True, error_model="numpy")
def _weigh(value: float, mean: float, variance: float, noise: float) -> float:
    """Return the linear estimate with the smallest mean square error, of speckle with variance `noise` around a mean of 1."""
    signal = (variance - mean * mean * noise) / (1.0 + noise)
    gain = max(signal, 0.0) / variance if variance > 0.0 else 0.0
    return mean + gain * (value - mean)


@njit(cache=True, nogil=True, error_model="numpy")
def _mean_around(image, row, col, half):  # type: ignore[no-untyped-def]
    """Return the mean of a small window; NaN if it has no value."""
    total, count = 0.0, 0
    for i in range(row - half, row + half + 1):
        for j in range(col - half, col + half + 1):
            value = image[i, j]
            if value == value:
                total += value
                count += 1
    return total / count if count else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def _means_of_row(image, row, sums, means):  # type: ignore[no-untyped-def]
    """Compute the 3 × 3 means along a row; means next to a gap are computed one by one."""
    above, here, below = image[row - 1], image[row], image[row + 1]
    for col in range(sums.size):
        sums[col] = np.float64(above[col]) + np.float64(here[col]) + np.float64(below[col])
    for col in range(means.size):
        means[col] = (sums[col] + sums[col + 1] + sums[col + 2]) / 9.0
    for col in range(means.size):
        if means[col] != means[col]:
            means[col] = _mean_around(image, row, col + 1, 1)


@njit(cache=True, nogil=True, error_model="numpy")
def _choose_sides(above, here, below, sides):  # type: ignore[no-untyped-def]
    """Choose the edge by the steepest of four gradients between 3 × 3 means, and its side by the mean closer to the middle."""
    for col in range(sides.size):
        a, b, c = above[col], above[col + 2], above[col + 4]
        d, middle, e = here[col], here[col + 2], here[col + 4]
        f, g, h = below[col], below[col + 2], below[col + 4]
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
        sides[col] = side


@njit(cache=True, nogil=True, error_model="numpy")
def _sum_columns(image, row, sums):  # type: ignore[no-untyped-def]
    """Compute the sums (2, 14, W + 6) of values and squares in each column of a window of 7 rows.

    The sums are over no row, its first 1 … 7 rows, and its last 1 … 6 rows.
    """
    for k in range(13):
        line = image[row + (k if k < 7 else 13 - k)]
        before = 0 if k == 7 else k
        values, squares, more_values, more_squares = sums[0, before], sums[1, before], sums[0, k + 1], sums[1, k + 1]
        for col in range(line.size):
            value = np.float64(line[col])
            more_values[col] = values[col] + value
            more_squares[col] = squares[col] + value * value


@njit(cache=True, nogil=True, error_model="numpy")
def _estimate_row(values, means, squares, noise, out):  # type: ignore[no-untyped-def]
    for col in range(out.size):
        out[col] = _weigh(np.float64(values[col]), means[col], squares[col] - means[col] * means[col], noise)


@njit(cache=True, nogil=True, error_model="numpy")
def refined_strip(image, out, first, last, noise, windows, columns):  # type: ignore[no-untyped-def]
    """Sum half a window from the sums of its columns, which all pixels of a row share; next to a gap, value by value."""
    cols, width = out.shape[1], image.shape[1]
    flat, offsets = image.ravel(), windows[:, :, 0] * width + windows[:, :, 1]
    row_means, some = np.empty((5, cols + 4)), np.empty(width)  # means of rows −2 … 2 around the pixel, in turn
    sums, sides = np.zeros((2, 14, width)), np.empty(cols, np.int64)
    flat_values, flat_squares = sums[0].ravel(), sums[1].ravel()
    starts = (columns * width + np.arange(7)).astype(np.uint64)
    means, squares = np.empty(cols), np.empty(cols)
    for row in range(first - 2, first + 2):
        _means_of_row(image, row + 3, some, row_means[(row + 5) % 5])
    for row in range(first, last):
        _means_of_row(image, row + 5, some, row_means[(row + 2) % 5])
        _choose_sides(row_means[(row + 3) % 5], row_means[row % 5], row_means[(row + 2) % 5], sides)
        _sum_columns(image, row, sums)
        values = image[row + 3, 3:-3]
        for col in range(cols):
            total, square, count, side = 0.0, 0.0, 28.0, sides[col]
            for k in range(7):
                at = starts[side, k] + np.uint64(col)
                total += flat_values[at]
                square += flat_squares[at]
            if total != total and values[col] == values[col]:
                total, square, count = 0.0, 0.0, 0.0
                corner = row * width + col
                for k in range(offsets.shape[1]):
                    other = np.float64(flat[corner + offsets[side, k]])
                    seen = other == other
                    other = other if seen else np.float64(0.0)
                    total += other
                    square += other * other
                    count += seen
            means[col], squares[col] = total / count, square / count
        _estimate_row(values, means, squares, noise, out[row])


@njit(cache=True, nogil=True, error_model="numpy")
def sigma_strip(image, out, first, last, half, target, noise, low, high, noise_within, bright):  # type: ignore[no-untyped-def]
    """Average the values of the whole window within a range that a first mean from the target window selects."""
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
