"""Metadata of virtual rasters (VRT), completed by what their files state.

`gdalbuildvrt` keeps nodata, scale, colours and names of bands, and drops units and all tags: amplitudes would be read as power, feet as
metres, and the values of a label raster would lose their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from rasterio.io import DatasetReader

from deepnets4eo.errors import GridError
from deepnets4eo.formats import BandInfo, Declared, StoredValues, open_raster
from deepnets4eo.rasters.shared_tags import shared_tags

PLAIN_SOURCES = {"simplesource", "averagedsource", "complexsource"}
CHANGES = {
    "scaleoffset",
    "scaleratio",
    "exponent",
    "srcmin",
    "lut",
    "colortablecomponent",
}  # of the numbers in a source
DERIVED = "vrtderivedrasterband"


class SourceBand(NamedTuple):
    """A band of a file that a VRT shows. number : from 1"""

    path: Path
    number: int


def declared_of(dataset: DatasetReader, name: str, unmasked: Sequence[int] = ()) -> Declared:
    """Return what a raster states, a VRT also what all of its files state alike. Errors: as of `Declared.of_dataset`; GridError.

    name, unmasked : see `Declared.of_dataset`"""
    declared = Declared.of_dataset(dataset, name, unmasked)
    path = Path(dataset.name)
    if dataset.driver != "VRT" or not path.is_file():  # those in memory are made here, with tags
        return declared
    return _with_files(declared, _source_bands(path, path.stat().st_mtime_ns))


def _with_files(declared: Declared, bands: Sequence[Sequence[SourceBand]]) -> Declared:
    """Return what a VRT states, completed by its files unless it computes a band from them."""
    files = list(dict.fromkeys(source.path for band in bands for source in band))
    if len(bands) != len(declared) or not files or not all(bands):
        return declared
    parts = {path: _stated_by(path, path.stat().st_mtime_ns) for path in files}
    if any(not 1 <= source.number <= len(parts[source.path]) for band in bands for source in band):
        return declared  # a file with fewer bands now, which reading reports
    completed = tuple(
        _completed(declared.source, band, [(str(path), parts[path].bands[number - 1]) for path, number in sources])
        for band, sources in zip(declared.bands, bands, strict=True)
    )
    in_every_band = all({source.path for source in band} == {*files} for band in bands)
    tags = shared_tags([(str(path), part.tags) for path, part in parts.items()], as_bands=not in_every_band)
    own = {name.casefold() for name in declared.tags}
    added = {name: text for name, text in tags.items() if name.casefold() not in own}
    return replace(declared, bands=completed, tags={**added, **declared.tags})


def _completed(source: str, band: BandInfo, parts: Sequence[tuple[str, BandInfo]]) -> BandInfo:
    """Return a band with what its files state of it. Errors: GridError for numbers that mean different things."""
    stored = band.stored
    if stored.plain:
        first, meant = parts[0][0], parts[0][1].stored
        other = next(((path, info.stored) for path, info in parts if info.stored != meant), None)
        if other is not None:
            raise GridError(
                f"{source} joins {first}, whose numbers are {_in_words(meant)}, and {other[0]}, whose numbers are {_in_words(other[1])}; a VRT has "
                "one meaning of its numbers. Give the files themselves, as a folder or a list, or convert one of them."
            )
        stored = meant._replace(unit=stored.unit or meant.unit)
    alike: dict[str, Any] = {
        word: value
        for word in ("name", "wavelength_nm", "missing", "valid_range")
        if not getattr(band, word) and len({(value := getattr(info, word)) for _, info in parts}) == 1
    }
    return replace(band, stored=stored, **alike)


def _in_words(stored: StoredValues) -> str:
    unit = f" in {stored.unit}" if stored.unit else ""
    return f"values{unit}" if stored.plain else f"values × {stored.scale:g} + {stored.offset:g}{unit}"


@lru_cache(maxsize=1 << 12)
def _stated_by(path: Path, mtime_ns: int) -> Declared:
    with open_raster(path) as dataset:
        return declared_of(dataset, str(path))


@lru_cache(maxsize=64)
def _source_bands(path: Path, mtime_ns: int) -> list[list[SourceBand]]:
    """Return the bands of files that each band of a VRT shows; none for a band that is computed. `open_raster` has checked the file."""
    root = ElementTree.fromstring(path.read_bytes())
    bands = [child for child in root if child.tag.casefold() == "vrtrasterband"]
    warped = _child(root, "gdalwarpoptions")
    if warped is None:
        return [_of_band(path, band) for band in bands]
    file, pairs = _file(path, warped, "sourcedataset"), _child(warped, "bandlist")
    mapped = [_attributes(pair) for pair in (() if pairs is None else pairs)]
    numbers = {pair.get("dst"): pair.get("src", "") for pair in mapped}
    sources = [numbers.get(str(number), "") for number in range(1, len(bands) + 1)]
    return [[SourceBand(file, int(number))] if file is not None and number.isdecimal() else [] for number in sources]


def _of_band(path: Path, band: ElementTree.Element) -> list[SourceBand]:
    sources = [child for child in band if child.tag.casefold().endswith("source")]
    computed = any(
        source.tag.casefold() not in PLAIN_SOURCES or any(part.tag.casefold() in CHANGES for part in source)
        for source in sources
    )
    if computed or _attributes(band).get("subclass", "").casefold() == DERIVED:
        return []
    named = [(_file(path, source, "sourcefilename"), _text(source, "sourceband") or "1") for source in sources]
    return [SourceBand(file, int(number)) for file, number in named if file is not None and number.isdecimal()]


def _file(path: Path, element: ElementTree.Element, name: str) -> Path | None:
    """Return the file that a source names; None if it is not there."""
    child = _child(element, name)
    if child is None or not child.text:
        return None
    relative = _attributes(child).get("relativetovrt") == "1"
    file = (path.parent / child.text if relative else Path(child.text)).resolve()
    return file if file.is_file() else None


def _child(element: ElementTree.Element, name: str) -> ElementTree.Element | None:
    return next((child for child in element if child.tag.casefold() == name), None)


def _text(element: ElementTree.Element, name: str) -> str:
    child = _child(element, name)
    return "" if child is None else (child.text or "").strip()


def _attributes(element: ElementTree.Element) -> dict[str, str]:
    return {name.casefold(): value for name, value in element.attrib.items()}
