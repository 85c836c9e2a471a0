"""Which axis of an array is bands, rows and columns: letters b, h and w in the order of the array's axes.

Takes shapes; returns letters and, where they are a guess, why.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from deepnets4eo.errors import InputError

AXES = {2: "hw", 3: "hwb"}
BANDS_AT = ("bhw", "hbw", "hwb")  # where the bands are the first, second, third axis


def guess_axes(shape: Sequence[int], wavelengths: Sequence[int], *, rows_first: bool) -> tuple[str, str]:
    """Letters of the axes, and the reason where it is a guess.

    shape : of an array with two or three axes. wavelengths : how many wavelengths the file lists, if it does. rows_first :
    whether the program that wrote the file has rows, columns, bands. In this order: what the file says; as many bands as
    wavelengths; two equal axes are rows and columns; the shortest axis is bands.

    >>> guess_axes((145, 145, 200), [], rows_first=False)
    ('hwb', '')
    >>> guess_axes((610, 340, 103), [], rows_first=False)
    ('hwb', 'the shortest axis is taken for the bands')
    """
    if len(shape) == 2 or rows_first:
        return AXES[len(shape)], ""
    counted = [axis for axis in range(3) if shape[axis] in wavelengths]
    if len(counted) == 1:
        return BANDS_AT[counted[0]], ""
    if len(set(shape)) == 2:
        return BANDS_AT[next(axis for axis in range(3) if list(shape).count(shape[axis]) == 1)], ""
    return BANDS_AT[list(shape).index(min(shape))], "the shortest axis is taken for the bands"


def split_axes(name: str, text: str) -> tuple[str, str]:
    """`NAME:AXES` as both; the axes are empty where they are not named. Errors: InputError for other letters.

    >>> split_axes("cube:bhw", "")
    ('cube', 'bhw')
    """
    before, mark, axes = name.rpartition(":")
    if not mark:
        return name, ""
    if "".join(sorted(axes)) not in ("bhw", "hw"):
        raise InputError(
            f"{text} names the axes {axes!r}, expected b (bands), h (rows), w (columns) once each, e.g. hwb."
        )
    return before, axes


def all_axes(axes: str) -> list[str]:
    """All orders of the same letters, the present one first, then those that keep the bands where they are."""
    orders = ["".join(order) for order in permutations(sorted(axes))]
    return sorted(orders, key=lambda order: (order != axes, order.find("b") != axes.find("b")))
