"""Words of the CF conventions that define stored numbers: scale, offset, unit, missing values, valid range, _Unsigned.

Read in the same way from the attributes of HDF5 and NetCDF files and of xarray arrays. Refuses values that are not numbers,
and names them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.formats.band_info import BandInfo, StoredValues

UNSIGNED = "_Unsigned"
CF_WORDS = frozenset(
    {"scale_factor", "add_offset", "_FillValue", "missing_value", "nodata", "fill_value", "valid_range", "valid_min", "valid_max", UNSIGNED,
     "units", "long_name"}
)  # fmt: skip
MISSING = ("nodata", "_FillValue", "missing_value", "fill_value")
OF_BANDS = "nodatavals"  # one number per band that means no data, NaN or None for a band without one
MAX_SHOWN_LETTERS = 60  # letters of a wrong value


@dataclass(frozen=True)
class CFWords:
    """The attributes of one array.

    words : attributes by name, of any type
    dtype : the type of its stored numbers
    source : its name, for messages
    labels : the numbers of its bands, from 1, in lists of one value per band; () if it has all bands in their order
    decoded : the words already applied to decode its numbers to values, as xarray keeps them
    """

    words: Mapping[str, Any]
    dtype: np.dtype[Any]
    source: str
    labels: tuple[int, ...] = ()
    decoded: Mapping[str, Any] = field(default_factory=dict)

    @property
    def number_dtype(self) -> np.dtype[Any]:
        """Return the intended type of stored numbers: NetCDF-3 lacks unsigned types, and marks such numbers with `_Unsigned`."""
        return meant_dtype(self.dtype, self.words.get(UNSIGNED))

    @property
    def unit(self) -> str:
        """The unit of the whole array, "" without one."""
        value = self.words.get("units", "")
        return plain_text(value).strip() if is_plain(value) else ""

    def bands(self, count: int) -> tuple[BandInfo, ...]:
        """Return what the words state of `count` bands. Raises InputError for values that are no numbers, and lists of another length."""
        scales, offsets = self._per_band("scale_factor", 1.0, count), self._per_band("add_offset", 0.0, count)
        names, units, missing = self._names(count), self._units(count), self._missing(count)
        rows = zip(names, scales, offsets, units, missing, strict=True)
        return tuple(
            BandInfo(
                name, stored=StoredValues(scale, offset, unit), nodata=numbers[0] if numbers else None, missing=tuple(numbers[1:]),
                valid_range=self._valid_range(scale, offset),
            )
            for name, scale, offset, unit, numbers in rows
        )  # fmt: skip

    def _names(self, count: int) -> list[str]:
        """Return the names of bands by `long_name`, "" if it names none; one text names the only band."""
        value = self.words.get("long_name")
        if is_plain(value):
            return (
                [plain_text(value).strip() if isinstance(value, (str, bytes)) else ""] * count
                if count == 1
                else [""] * count
            )
        listed = self._of_bands("long_name", [] if value is None else list(value), count)
        return [plain_text(text).strip() if isinstance(text, (str, bytes)) else "" for text in listed]

    def _units(self, count: int) -> list[str]:
        value = self.words.get("units", "")
        if is_plain(value):
            return [self.unit] * count
        return [plain_text(text).strip() for text in self._of_bands("units", list(value), count)]

    def _per_band(self, word: str, default: float, count: int) -> list[float]:
        values = self._numbers(word)
        if values.size < 2:
            return [float(values[0]) if values.size else default] * count
        return [float(value) for value in self._of_bands(word, values.tolist(), count)]

    def _of_bands(self, word: str, listed: Sequence[Any], count: int) -> list[Any]:
        """Return the entries of a list that belong to the bands of the array. Raises InputError for a list of another length."""
        if len(self.labels) == count and all(1 <= label <= len(listed) for label in self.labels):
            return [listed[label - 1] for label in self.labels]
        if len(listed) != count:
            raise InputError(
                f"{self.source} states {len(listed)} values as {word}; expected one, or one for each of its {count} bands. Correct "
                f"the attribute {word!r}."
            )
        return list(listed)

    def _missing(self, count: int) -> list[list[float]]:
        """Return all numbers of each band that mean no data; the first represents them all if a single number is needed."""
        common = [value for word in MISSING for value in self._meant(self._numbers(word)).tolist()]
        listed = self.words.get(OF_BANDS)
        own = [math.nan] * count if listed is None else self._of_bands(OF_BANDS, _entries(listed), count)
        none = listed is None or self.dtype.kind in "iu"  # NaN, which whole numbers do not have
        return [_different(common if none and value != value else [*common, value]) for value in own]

    def _valid_range(self, scale: float, offset: float) -> tuple[float, float] | None:
        """Return the valid range in the numbers of the array."""
        both = self._numbers("valid_range")
        if both.size not in (0, 2):
            raise InputError(
                f"{self.source} states {both.size} numbers as valid_range; expected the least and the largest value. Correct it."
            )
        low, high = (
            (both[:1], both[1:]) if both.size else (self._numbers("valid_min")[:1], self._numbers("valid_max")[:1])
        )
        if not low.size and not high.size:
            return None
        ends = [float(self._meant(end)[0]) if end.size else none for end, none in ((low, -np.inf), (high, np.inf))]
        if np.isnan(ends).any():
            raise InputError(
                f"{self.source} states a valid range with NaN; expected two numbers. Correct or remove it."
            )
        floating = any(end.size and end.dtype.kind == "f" for end in (low, high))
        if self.decoded and not floating:  # the range is in numbers, the array in values
            scale, offset = (self._decoding("scale_factor", 1.0), self._decoding("add_offset", 0.0))
            ends = sorted(end * scale + offset for end in ends)
        elif floating and self.dtype.kind in "iu" and scale and (scale != 1 or offset != 0):  # the contrary
            ends = sorted((end - offset) / scale for end in ends)
        return ends[0], ends[1]

    def _decoding(self, word: str, default: float) -> float:
        values = CFWords(self.decoded, self.dtype, self.source)._numbers(word)
        return float(values[0]) if values.size else default

    def _meant(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """Return numbers of the stored type as they are meant: −1 of one byte is 255 in an unsigned array."""
        if self.number_dtype == self.dtype or numbers.dtype.kind not in "iu":
            return numbers
        bits = 8 * self.dtype.itemsize
        is_signed = self.number_dtype.kind == "i"
        wrapped = [int(number) % (1 << bits) for number in numbers.tolist()]
        return np.array(
            [number - (1 << bits) if is_signed and number >> (bits - 1) else number for number in wrapped], object
        )

    def _numbers(self, word: str) -> NDArray[Any]:
        """Return the real numbers (n,) of a word, none if it is absent; texts of numbers count."""
        value = self.words.get(word)
        if value is None:
            return np.zeros(0)
        try:
            numbers = np.ravel(np.asarray(value))
            if numbers.dtype.kind in "SUO":
                numbers = np.array([float(plain_text(item)) for item in numbers.tolist()], np.float64)
        except (TypeError, ValueError, OverflowError):
            numbers = np.zeros(0, np.str_)
        if numbers.dtype.kind not in "iuf":
            raise InputError(
                f"{self.source} states {word} = {_short(value)}, expected a number. Correct the attribute, or remove it if the "
                "numbers are the values."
            )
        return numbers


def _entries(listed: Any) -> list[Any]:
    """Return the entries of a list with one number per band; NaN in place of none."""
    entries = list(listed) if isinstance(listed, (list, tuple, np.ndarray)) else [listed]
    return [math.nan if entry is None else entry for entry in entries]


def _different(values: Sequence[float]) -> list[float]:
    """Return values without repetitions; NaN is one value."""
    different = list[float]()
    for value in map(float, values):
        if not any(value == other or (value != value and other != other) for other in different):
            different.append(value)
    return different


def meant_dtype(dtype: np.dtype[Any], unsigned: Any) -> np.dtype[Any]:
    """Return the type that whole numbers are meant to have, by the word `_Unsigned` of their array.

    >>> meant_dtype(np.dtype("int16"), "true"), meant_dtype(np.dtype("uint8"), b"false"), meant_dtype(np.dtype("f4"), "true")
    (dtype('uint16'), dtype('int8'), dtype('float32'))
    """
    kind = {"true": "u", "1": "u", "false": "i", "0": "i"}.get(plain_text(unsigned).strip().lower())
    if kind is None or dtype.kind not in "iu":
        return dtype
    return np.dtype(f"{kind}{dtype.itemsize}").newbyteorder(dtype.byteorder)


def is_plain(value: Any) -> bool:
    """Return whether an attribute is one value, and not a list of several."""
    return not isinstance(value, (list, tuple, np.ndarray)) or np.size(np.asarray(value, object)) < 2


def plain_text(value: Any) -> str:
    """Return an attribute as text: bytes decoded, the only entry of a list, "" of none."""
    if isinstance(value, (list, tuple, np.ndarray)) and len(np.ravel(np.asarray(value, object))) == 1:
        value = np.ravel(np.asarray(value, object))[0]
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_LETTERS else f"{text[:MAX_SHOWN_LETTERS]}…"
