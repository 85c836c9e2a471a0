"""Tags of several files that are read as one layer: what all files state alike is kept, and files that contradict each other are refused.

Tags that decide how numbers are read (unit, legend, packing, polarisation, direction of flight) must be the same in all files. Files of
several days have no common day, with a warning. Any other tag is kept if all files have it with the same text.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from textwrap import shorten

from deepnets4eo.errors import GridError
from deepnets4eo.rasters.acquisition import ACQUISITION_TAGS, WRITING_TAGS, stated_day
from deepnets4eo.rasters.radar_bands import ORBIT_TAGS, POLARISATION_TAGS, UNIT_TAGS, stated_unit

log = logging.getLogger(__name__)

# of our label rasters, values, embeddings, and scores as bytes; of radar and heights
MEANING = {
    name.casefold()
    for name in ("LEGEND", "QUANTITY", "EMBEDDING", "PACKED_ONE", *UNIT_TAGS, *POLARISATION_TAGS, *ORBIT_TAGS)
}
OF_BANDS = {
    name.casefold() for name in (*UNIT_TAGS, *POLARISATION_TAGS)
}  # which files of one band each state of their band
SYNTHETIC = "SYNTHETIC"
OF_ONE_FILE = {"area_or_point"}  # honoured where each file is read
MAX_TEXT = 60  # characters of a value in a message


def shared_tags(parts: Sequence[tuple[str, Mapping[str, str]]], *, as_bands: bool = False) -> dict[str, str]:
    """Return the tags that all parts of a layer have in common; SYNTHETIC if one part has it.

    parts : path and tags of each file; as_bands : files are bands, which may have different units

    Raises
    ------
    GridError
        Two files differ in a tag that decides how their numbers are read; names the files and their values.
    """
    (_, tags), *others = parts
    every = {name for _, stated in parts for name in _folded(stated)}
    for name in sorted(every & (MEANING - OF_BANDS if as_bands else MEANING)):
        _check_same(name, [(path, _folded(stated).get(name)) for path, stated in parts])
    if as_bands:  # bands may have different units, but radar of one image has one
        units = [(path, stated_unit((), (), stated)) for path, stated in parts]
        _check_same("unit of radar", [(path, unit) for path, unit in units if unit is not None])
    kept = {
        name: text
        for name, text in tags.items()
        if name.casefold() not in OF_ONE_FILE
        and all(_plain(_folded(stated).get(name.casefold())) == _plain(text) for _, stated in others)
    }
    kept |= _common_day(parts, ACQUISITION_TAGS, warns=True) | _common_day(parts, WRITING_TAGS, warns=False)
    made = next((stated[SYNTHETIC] for _, stated in parts if SYNTHETIC in stated), None)
    return kept | ({} if made is None else {SYNTHETIC: made})


def _check_same(name: str, stated: Sequence[tuple[str, str | None]]) -> None:
    """Refuse (GridError) files that state another text as `name` than the first file."""
    for path, text in stated[1:]:
        first, other = stated[0]
        if _plain(text) != _plain(other):
            raise GridError(
                f"{path} and {first} differ in what they state as {name}: {_quoted(text)} and {_quoted(other)}; they make no layer together. "
                "Convert one of them, or correct its tag: gdal_edit.py -mo NAME=VALUE FILE."
            )


def _common_day(parts: Sequence[tuple[str, Mapping[str, str]]], names: Sequence[str], *, warns: bool) -> dict[str, str]:
    """Return the first file's tag of the day if all files are of one day; else none, with a warning that names two of them."""
    days = [stated_day(tags, names) for _, tags in parts]
    first = days[0]
    for (path, _), day in zip(parts, days, strict=True):
        if (day and day[1]) != (first and first[1]):
            if warns:
                _warn_of_days(path, _day_text(day), parts[0][0], _day_text(first))
            return {}
    return {} if first is None else {first[0]: parts[0][1][first[0]]}


@lru_cache(maxsize=256)
def _warn_of_days(path: str, day: str, first: str, other: str) -> None:
    """Once for each layer, which several steps of a job open."""
    log.warning(
        "%s is of %s and %s of %s: together they have no day. State the dates of the images yourself.",
        path,
        day,
        first,
        other,
    )


def _day_text(day: tuple[str, date] | None) -> str:
    return "no stated day" if day is None else day[1].isoformat()


def _folded(tags: Mapping[str, str]) -> dict[str, str]:
    return {name.casefold(): text for name, text in tags.items()}


def _plain(text: str | None) -> str | None:
    return None if text is None else text.strip().casefold()


def _quoted(text: str | None) -> str:
    return "nothing" if text is None else repr(shorten(text, MAX_TEXT, placeholder=" …"))
