"""What a job is known by: its program, files, layers and options. Work that was finished for another identity is never used."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.files import plain
from deepnets4eo.grid import READ_PX, Grid, blocks
from deepnets4eo.version import code_version

if TYPE_CHECKING:
    from deepnets4eo.rasters.layer import Layer


def identity_hash(*values: Any) -> str:
    """Return 16 hexadecimal digits that differ where a plain value or the code of the package does."""
    text = json.dumps([code_version(), *(plain(value) for value in values)], default=_describe, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_identity(path: str | Path) -> list[Any]:
    """What says that a file is the same as before: its path, size and time; the path alone where it is no file here."""
    file = Path(path)
    return [str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] if file.is_file() else [str(path)]


def grid_identity(grid: Grid) -> dict[str, Any]:
    """Shape, affine and CRS of a grid as plain values."""
    crs = None if grid.crs is None else grid.crs.to_wkt()
    return {"shape": list(grid.shape), "affine": list(grid.affine)[:6], "crs": crs}


def layer_identity(layer: Layer | None) -> list[Any]:
    """Grid and bands of a layer with the identities of its files, or with a hash of its values where it is an array."""
    if layer is None:
        return []
    about = [str(layer.source), grid_identity(layer.grid), layer.bands, repr(layer.nodata)]
    return [*about, [file_identity(path) for path in layer.paths] or _hash_values(layer)]


def scene_identity(layers: Iterable[Layer], shaping: Any, further: Iterable[str | Path], position: Any) -> str:
    """Name of the folder of what is finished of some layers: other files, options that shape the result or positions have another one,
    layers of arrays always. further : files that are read beside them."""
    paths = [layer.paths for layer in layers]
    if not all(paths):
        return uuid.uuid4().hex[:16]
    files = [path for of_layer in paths for path in of_layer]
    return identity_hash(shaping, [file_identity(path) for path in (*files, *further)], position)


def _describe(value: Any) -> Any:
    """The fields of a dataclass; the text of another value that is not plain."""
    return plain(asdict(value)) if is_dataclass(value) and not isinstance(value, type) else repr(value)


def _hash_values(layer: Layer) -> str:
    digest = hashlib.sha256()
    for window in blocks(layer.shape, READ_PX):
        for array in layer.read(window):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
