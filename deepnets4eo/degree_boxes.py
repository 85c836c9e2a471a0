"""Boxes of degrees: west, south, east and north; west is greater than east if the box is across 180° of longitude (RFC 7946)."""

from __future__ import annotations

from collections.abc import Sequence

import shapely

from deepnets4eo.errors import InputError

Box = tuple[float, float, float, float]  # west, south, east, north
HALF_TURN = 180.0  # degrees of longitude


def check_box(box: Sequence[float]) -> Box:
    """Return west, south, east, north in degrees; InputError if the values are not a box.

    West is greater than east if the box is across 180° of longitude; it has to be narrower than half the Earth then.

    >>> check_box((179.9, -17, -179.9, -16))
    (179.9, -17.0, -179.9, -16.0)
    >>> check_box((36.1, 36.2, 36.0, 36.3))
    Traceback (most recent call last):
    deepnets4eo.errors.InputError: the box 36.1 36.2 36 36.3 is none: give west, south, east and north in degrees, west before east.
    """
    values = tuple(float(value) for value in box)
    inside = len(values) == 4 and values[0] >= -180 and values[2] <= 180 and values[1] >= -90 and values[3] <= 90
    is_across = inside and abs(values[2]) <= HALF_TURN >= abs(values[0]) and values[0] - values[2] > HALF_TURN
    if not (inside and (values[0] < values[2] or is_across) and values[1] < values[3]):
        raise InputError(
            f"the box {box_text(values)} is none: give west, south, east and north in degrees, west before east."
        )
    return values  # type: ignore[return-value]


def box_parts(box: Box) -> tuple[Box, ...]:
    """Return a box of degrees as it is, or its parts on both sides of 180° of longitude.

    >>> box_parts((179.9, -17, -179.8, -16))
    ((179.9, -17, 180.0, -16), (-180.0, -17, -179.8, -16))
    """
    west, south, east, north = box
    if west <= east:
        return (box,)
    parts = ((west, south, HALF_TURN, north), (-HALF_TURN, south, east, north))
    return tuple(part for part in parts if part[0] < part[2])


def box_width(box: Box) -> float:
    """Return the width of a box in degrees, also across 180°."""
    return box[2] - box[0] + (2 * HALF_TURN if box[0] > box[2] else 0.0)


def box_shape(box: Box) -> shapely.Geometry:
    """Return a box of degrees as a shape within ±180°, in two parts if it is across 180°."""
    return shapely.union_all([shapely.box(*part) for part in box_parts(box)])


def box_text(box: Sequence[float]) -> str:
    """Return the sides of a box as text."""
    return " ".join(f"{value:g}" for value in box)
