"""The depth buffer of `ZBuffer`, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

PAD_PX = 0.01  # of the box around a face, against rounding
MIN_NEAR_M = 1e-6


@njit(cache=True, nogil=True, error_model="numpy")
def draw_faces(positions, faces, eye, axes, focal, near, far, face, depth):  # type: ignore[no-untyped-def]
    """Write the nearest of the faces (F, 3) over positions (V, 3) to `face` and `depth` (H, W)."""
    corners, planes, box = np.empty((3, 3)), np.empty((3, 3)), np.empty(4)
    for number in range(len(faces)):
        for corner in range(3):
            vertex = faces[number, corner]
            x, y, z = positions[vertex, 0] - eye[0], positions[vertex, 1] - eye[1], positions[vertex, 2] - eye[2]
            for axis in range(3):
                corners[corner, axis] = axes[axis, 0] * x + axes[axis, 1] * y + axes[axis, 2] * z
        a, b, c = corners[0, 2], corners[1, 2], corners[2, 2]
        if max(a, b, c) < near or min(a, b, c) > far:
            continue
        _image_box(corners, focal, max(near, MIN_NEAR_M), box)
        first, last = max(np.ceil(box[0] - PAD_PX), 0.0), min(np.floor(box[1] + PAD_PX), face.shape[1] - 1.0)
        top, bottom = max(np.ceil(box[2] - PAD_PX), 0.0), min(np.floor(box[3] + PAD_PX), face.shape[0] - 1.0)
        if not (first <= last and top <= bottom):
            continue
        for corner in range(3):
            one, other = (corner + 1) % 3, (corner + 2) % 3
            for axis in range(3):
                i, j = (axis + 1) % 3, (axis + 2) % 3
                planes[corner, axis] = corners[one, i] * corners[other, j] - corners[one, j] * corners[other, i]
        volume = corners[0, 0] * planes[0, 0] + corners[0, 1] * planes[0, 1] + corners[0, 2] * planes[0, 2]
        for row in range(int(top), int(bottom) + 1):
            for col in range(int(first), int(last) + 1):
                distance = _distance(planes, volume, (col - focal[2]) / focal[0], (row - focal[3]) / focal[1])
                if near <= distance <= far and distance < depth[row, col]:
                    depth[row, col], face[row, col] = distance, number


@njit(cache=True, nogil=True, error_model="numpy")
def _image_box(corners, focal, near, box):  # type: ignore[no-untyped-def]
    """Write the smallest and largest column and row of the image of a face, clipped at the near limit."""
    box[0], box[1], box[2], box[3] = np.inf, -np.inf, np.inf, -np.inf
    for corner in range(3):
        other = (corner + 1) % 3
        here, there = corners[corner, 2], corners[other, 2]
        if here >= near:
            _widen(box, corners[corner, 0], corners[corner, 1], here, focal)
        if (here < near) != (there < near):
            share = (near - here) / (there - here)
            right = corners[corner, 0] + share * (corners[other, 0] - corners[corner, 0])
            down = corners[corner, 1] + share * (corners[other, 1] - corners[corner, 1])
            _widen(box, right, down, near, focal)


@njit(cache=True, nogil=True, error_model="numpy")
def _widen(box, right, down, forward, focal):  # type: ignore[no-untyped-def]
    col, row = focal[0] * right / forward + focal[2], focal[1] * down / forward + focal[3]
    box[0], box[1] = min(box[0], col), max(box[1], col)
    box[2], box[3] = min(box[2], row), max(box[3], row)


@njit(cache=True, nogil=True, error_model="numpy")
def _distance(planes, volume, right, down):  # type: ignore[no-untyped-def]
    """Return the depth at the intersection of a ray and a face; NaN if they do not meet or the face is seen along its plane."""
    a = planes[0, 0] * right + planes[0, 1] * down + planes[0, 2]
    b = planes[1, 0] * right + planes[1, 1] * down + planes[1, 2]
    c = planes[2, 0] * right + planes[2, 1] * down + planes[2, 2]
    total = a + b + c
    if total == 0 or not ((a >= 0 and b >= 0 and c >= 0) or (a <= 0 and b <= 0 and c <= 0)):
        return np.nan
    return volume / total
