"""Eigenvalues and eigenvectors of many symmetric 3 × 3 matrices at once, in closed form.

Takes the six different entries of each. Some thousands at a time stay in the cache of the processor, and take a quarter of
the time of LAPACK.
"""

from __future__ import annotations

import numpy as np

from deepnets4eo.arrays import Floats


def eigen_3x3(entries: Floats) -> tuple[Floats, Floats]:
    """Return the eigenvalues (3, M), the largest first and at least 0, and unit eigenvectors (3, 3, M) of symmetric,
    positive semi-definite matrices (6, M): xx, xy, xz, yy, yz, zz. The value farthest from the middle one comes from
    the trigonometric formula (Smith 1961), the others from the plane across its vector, so that equal values cost no
    accuracy.

    >>> values, vectors = eigen_3x3(np.array([[1.0], [0.0], [0.0], [9.0], [0.0], [4.0]]))
    >>> values[:, 0].round(6).tolist(), np.abs(vectors[0, :, 0]).round(6).tolist()
    ([9.0, 4.0, 1.0], [0.0, 1.0, 0.0])
    """
    xx, xy, xz, yy, yz, zz = entries
    mean = (xx + yy + zz) / 3
    first, last = _outer_values(entries, mean)
    of_largest = first - mean >= mean - last  # the largest is the one apart; else the smallest
    apart = _cross_vector(entries, np.where(of_largest, first, last))
    across = _perpendicular(apart)
    third = np.cross(apart, across, axis=0)
    value = _form(entries, apart, apart)
    a, b, c = _form(entries, across, across), _form(entries, across, third), _form(entries, third, third)
    angle = np.arctan2(2 * b, a - c) / 2
    cosine, sine = np.cos(angle), np.sin(angle)
    major, minor = cosine * across + sine * third, cosine * third - sine * across
    middle, half = (a + c) / 2, np.hypot((a - c) / 2, b)
    values = np.where(of_largest, [value, middle + half, middle - half], [middle + half, middle - half, value])
    vectors = np.where(of_largest, [apart, major, minor], [major, minor, apart])
    return np.maximum(values, 0), vectors


def _outer_values(entries: Floats, mean: Floats) -> tuple[Floats, Floats]:
    """The largest and the smallest eigenvalue."""
    xx, xy, xz, yy, yz, zz = entries
    dx, dy, dz = xx - mean, yy - mean, zz - mean
    spread = np.sqrt((dx * dx + dy * dy + dz * dz + 2 * (xy * xy + xz * xz + yz * yz)) / 6)
    determinant = dx * (dy * dz - yz * yz) - xy * (xy * dz - yz * xz) + xz * (xy * yz - dy * xz)
    cube = np.maximum(spread**3, np.finfo(np.float64).tiny)
    angle = np.arccos(np.clip(determinant / cube / 2, -1, 1)) / 3
    return mean + 2 * spread * np.cos(angle), mean + 2 * spread * np.cos(angle + 2 * np.pi / 3)


def _cross_vector(entries: Floats, value: Floats) -> Floats:
    """(3, M) unit vectors of single eigenvalues; the vertical where a matrix is a multiple of the identity."""
    xx, xy, xz, yy, yz, zz = entries
    rows = np.array([[xx - value, xy, xz], [xy, yy - value, yz], [xz, yz, zz - value]])
    crosses = np.array([np.cross(rows[i], rows[j], axis=0) for i, j in ((0, 1), (0, 2), (1, 2))])
    lengths = (crosses**2).sum(axis=1)
    longest = lengths.argmax(axis=0)
    every = np.arange(len(value))
    length = np.sqrt(lengths[longest, every])
    vector = crosses[longest, :, every].T / np.where(length > 0, length, 1)
    vector[2, length == 0] = 1
    return vector


def _perpendicular(vector: Floats) -> Floats:
    """(3, M) unit vectors perpendicular to unit vectors."""
    x, y, z = vector
    flat = np.abs(z) > 0.5  # then x and z are not both small
    other = np.where(flat, [z, np.zeros_like(z), -x], [-y, x, np.zeros_like(z)])
    return other / np.sqrt((other**2).sum(axis=0))


def _form(entries: Floats, left: Floats, right: Floats) -> Floats:
    """(M,) left · matrix · right."""
    xx, xy, xz, yy, yz, zz = entries
    x, y, z = right
    return (
        left[0] * (xx * x + xy * y + xz * z)
        + left[1] * (xy * x + yy * y + yz * z)
        + left[2] * (xz * x + yz * y + zz * z)
    )
