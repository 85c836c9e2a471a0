"""Description and opening of one array of a file, common to all files of arrays.

An opened array is anything that NumPy indexes: an array, a memory map, a data set of HDF5."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.errors import InputError, Reading
from deepnets4eo.formats.cf_words import CFWords


@dataclass(frozen=True)
class ArrayInfo:
    """One array of a file, axes in its program's order; dtype None: no real numbers but `kind`; words : its attributes of the CF
    conventions, if it has any."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    kind: str = "numbers"
    words: CFWords | None = None

    @property
    def units(self) -> str:
        """The unit that its attributes name, "" without one."""
        return "" if self.words is None else self.words.unit

    def __str__(self) -> str:
        sizes = " × ".join(str(size) for size in self.shape)
        return f"{self.name} ({sizes} {self.dtype if self.dtype is not None else self.kind})"


@dataclass(frozen=True)
class ArrayFormat:
    """One format of files of arrays: list_arrays(path), and open_array(path, name), which returns what NumPy indexes."""

    name: str
    rows_first: bool
    list_arrays: Callable[[Path], list[ArrayInfo]]
    open_array: Callable[[Path, str], Any]


def damage_error(path: Path, error: BaseException) -> InputError:
    """Return the error for a file of arrays that cannot be read."""
    return InputError(f"{path} cannot be read: {error or type(error).__name__}. Is it whole? Write it again.")


@contextmanager
def damage_errors(path: Path) -> Iterator[None]:
    """Turn what reading a damaged file of arrays raises into an InputError."""
    with Reading(path, "Is it whole? Write it again."):
        yield


def is_number(dtype: np.dtype[Any]) -> bool:
    """Return whether a type is a real number or a truth value, of at most eight bytes."""
    return dtype.kind in "iufb" and dtype.itemsize <= 8
