"""Identity of a job: its program, files, layers and options. Work that was finished for another identity is never used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from deepnets4eo.cards import ShippedModel
from deepnets4eo.errors import InputError
from deepnets4eo.files import plain
from deepnets4eo.formats import Session, WebRequest, check_online, is_remote, is_web_address
from deepnets4eo.outputs.input_files import RUN_CARD, files_behind
from deepnets4eo.plugins import foreign_versions
from deepnets4eo.version import code_version


def identity_hash(*values: Any) -> str:
    """16 hexadecimal digits that differ if the identity of a value, the code or the code of an installed package of others does."""
    text = json.dumps([code_version(), foreign_versions(), identity(values)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_and_weights() -> str:
    """Return the version of the code, and a hash of the cards of all weights that come with the toolbox."""
    return f"{code_version()} {_shipped_weights()}"


@cache
def _shipped_weights() -> str:
    digest = hashlib.sha256()
    for name in ShippedModel.names():
        card = ShippedModel(name).folder / RUN_CARD
        if card.is_file():
            digest.update(f"{name} ".encode() + card.read_bytes())
    return digest.hexdigest()[:12]


def identity(value: Any) -> Any:
    """Return plain values that identify a value: size and time of files, grid and files of layers, a hash of arrays."""
    # Files count by size and time, not by content: inputs of tens of gigabytes would be read once more at each start. A file that was only
    # copied or touched therefore begins anew; finished results, which outlive their inputs' times, state hashes of the content
    # (`JobRecord.with_content`). The version of the code counts as well, so that no block of another version is continued.
    if isinstance(value, Path):
        if value.is_dir():
            return [str(value.resolve()), [identity(file) for file in sorted(value.rglob("*")) if file.is_file()]]
        return (
            [str(value.resolve()), value.stat().st_size, value.stat().st_mtime_ns] if value.is_file() else [str(value)]
        )
    if isinstance(value, GeoBox):
        crs = None if value.crs is None else value.crs.to_wkt()
        return {"shape": list(value.shape), "affine": list(value.affine)[:6], "crs": crs}
    if hasattr(value, "paths") and hasattr(value, "grid"):  # a layer
        files = [file_state(path) or name_hash(path) for path in value.paths] or values_hash(value)
        return [str(value.source), identity(value.grid), value.bands, repr(value.nodata), files]
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return [value.dtype.str, list(value.shape), hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: identity(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): identity(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(repr, value))
    if isinstance(value, (list, tuple, np.ndarray)):
        return [identity(item) for item in value]
    return plain(value) if value is None or isinstance(value, (bool, int, float, str, np.generic)) else repr(value)


def file_state(name: str) -> Any:
    """Return the state of a file or address, which stays equal as long as it does not change.

    None if nothing is known: no such file, or no answer.

    For a file: size and time of it, its side files, the files that a VRT refers to and the files in a folder. For an
    address: what its server reports.
    """
    if is_web_address(name):
        try:
            check_online(name)
            state = Session(name).state(name)
        except (InputError, *WebRequest.errors):
            return None
        return state and [name_hash(name), *state]
    paths = set() if is_remote(name) else {path for path in files_behind(name) if path.exists()}
    return [identity(path) for path in sorted(paths)] or None


def name_hash(name: str) -> str:
    """16 hexadecimal digits for a path or an address, which may hold a signature."""
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:16]


def values_hash(layer: Any) -> str:
    """Return the hash of all values of a layer, read block by block."""
    digest = hashlib.sha256()
    for window in layer.blocks():
        for array in layer.read(window):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
