"""How the numbers of a raster are meant, as its file says: their scale, offset and unit."""

from __future__ import annotations

from typing import NamedTuple


class StoredValues(NamedTuple):
    """How a file says that its numbers are meant: number × scale + offset, in a unit ("" where it names none).

    Layers have the numbers as they are stored.
    """

    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""

    @property
    def plain(self) -> bool:
        """Whether the numbers are the values."""
        return self.scale == 1 and self.offset == 0
