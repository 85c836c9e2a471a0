"""The rasters of a series and their dates: from a folder, a list, or the items of a local STAC collection.

Takes names, tags or dates that are given; refuses rasters without a date, two images of one date, and assets on other
machines."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from deepnets4eo.addresses import file_name_of
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.files import read_json
from deepnets4eo.formats import ITEM_ERRORS, Asset, StacItem, parse_time
from deepnets4eo.outputs import iso_day
from deepnets4eo.rasters import TILE_SUFFIXES, Layer, LayerLike, find_tiles, named_day

STAC_SUFFIXES = {".json", ".geojson"}
REMEDY = "Put the collection into a folder that holds its files, or name their folder with --masks or as SERIES."
YEAR = r"(?:19|20)\d\d"
DAY_OF_YEAR = r"(?:[0-2]\d\d|3[0-5]\d|36[0-6])(?![0-9A-Za-z])"
NO_DAY_FIRST = r"(?<!\d)(?<!\d[-_./ ]\d\d[-_./ ])(?<!\d[-_./ ]\d[-_./ ])"  # 28-02-2019 has its year last
NEXT_FIELD = r"[-_./ ]\d{1,2}(?:T\d|(?![0-9A-Za-z]))"  # a month or day, also where it is wrong or has one digit
USUAL_YEARS = range(1900, 2100)
MIDDLE = "0701"  # of a year whose month is not known
IN_NAMES = (  # expression; how its groups are read, and what is added to them
    (re.compile(rf"{NO_DAY_FIRST}({YEAR})[-_.](0[1-9]|1[0-2])(?!\d|{NEXT_FIELD})"), "%Y%m%d", "01"),
    (re.compile(rf"(?<!\d)({YEAR})[-.]({DAY_OF_YEAR})"), "%Y%j", ""),
    (re.compile(rf"{NO_DAY_FIRST}({YEAR})(?!\d|[-_.]{DAY_OF_YEAR}|{NEXT_FIELD})"), "%Y%m%d", MIDDLE),
)  # 2013_100 and 2013_7 are none: a day or month of the year, or a number of its own
REST = {len("2020"): "-07-01", len("2020-06"): "-01"}  # of given dates, as of those in names
FIELDS = {"Y": r"\d{4}", "y": r"\d{2}", "m": r"\d{2}", "d": r"\d{2}", "j": r"\d{3}", "b": r"[A-Za-z]{3}",
          "H": r"\d{2}", "M": r"\d{2}", "S": r"\d{2}"}  # fmt: skip


@dataclass(frozen=True)
class DatedImage:
    """One date of a series.

    day : of acquisition
    sources : rasters whose bands follow each other
    masks : rasters of clouds, shadows …, on any grid; a pixel is left out if any mask marks it
    year_alone : whether only its year is known, and the day is the middle of the year
    """

    day: date
    sources: tuple[LayerLike, ...]
    masks: tuple[LayerLike, ...] = ()
    year_alone: bool = False


def is_stac(source: str | Path) -> bool:
    """Return True if the name is of a STAC collection."""
    return Path(source).suffix.lower() in STAC_SUFFIXES


def find_images(
    source: str | Path | Sequence[LayerLike],
    *,
    dates: Sequence[str | date] | None = None,
    date_pattern: str | None = None,
    masks: str | Path | Sequence[LayerLike] | None = None,
    assets: Sequence[str] = (),
) -> list[DatedImage]:
    """Return the images of a folder, pattern, list or STAC ItemCollection by date, with their masks.

    Dates come from `dates`, else from the names (`date_pattern` in the letters of strptime), else from the tags.

    Raises InputError for rasters without a date, two images of one date, dates without a mask, or another number of
    dates.
    """
    if stac := isinstance(source, (str, Path)) and is_stac(source):
        images = _stac_images(Path(str(source)), assets, None if masks is None else str(masks))
    else:
        rasters = _rasters(source)
        images = [
            DatedImage(day, (raster,), year_alone=alone)
            for raster, (day, alone) in zip(rasters, _dates(rasters, dates, date_pattern), strict=True)
        ]
    images.sort(key=lambda image: image.day)
    for first, other in zip(images, images[1:], strict=False):
        if first.day == other.day:
            raise InputError(
                f"two images are of {first.day}: {_name(first.sources[0])} and {_name(other.sources[0])}. Put tiles of one "
                "date into a folder of their own, or give dates and a pattern by which they differ."
            )
    if masks is None or stac:
        return images
    by_day: dict[date, list[LayerLike]] = defaultdict(list)
    listed = _rasters(masks)
    for mask, (day, _) in zip(listed, _dates(listed, dates, date_pattern, "masks"), strict=True):
        by_day[day].append(mask)
    missing = [str(image.day) for image in images if image.day not in by_day]
    if missing:
        raise InputError(f"there is no mask of {', '.join(missing[:5])}. Give one for each date, or no masks.")
    return [replace(image, masks=tuple(by_day[image.day])) for image in images]


def dated_name(name: str, pattern: str | None = None) -> tuple[date | None, bool]:
    """Return the date in a file's name, or None, and whether the name has only a year, whose middle is then the date.

    An impossible date or one that lacks a 0, such as `2019-02-30` and `2019-1-5`, does not count as its month or year.

    >>> dated_name("S2A_20190228T101.tif"), dated_name("x_2019-060.tif", "%Y-%j"), dated_name("2019-1-5.tif")
    ((datetime.date(2019, 2, 28), False), (datetime.date(2019, 3, 1), False), (None, False))
    """
    if pattern is not None:
        return _date_by_pattern(name, pattern), not any(letter in pattern for letter in ("%m", "%b", "%j"))
    if (day := named_day(name)) is not None:
        return day, False
    for expression, reading, rest in IN_NAMES:
        for match in expression.finditer(name):
            day = _parse("".join(match.groups()) + rest, reading)
            if day is not None:  # 31 February is none
                return day, rest == MIDDLE
    return None, False


def as_date(day: str | date, option: str = "") -> date:
    """Return a given date: a day (`YYYY-MM-DD`, `YYYYMMDD`, also with its time), a month for its first day, or a year
    for its middle.

    Raises InputError, naming the option, for any other text.

    >>> as_date("2020-06-30"), as_date("2020-06"), as_date("2020")
    (datetime.date(2020, 6, 30), datetime.date(2020, 6, 1), datetime.date(2020, 7, 1))
    """
    if isinstance(day, date):
        return day
    parsed = _given_day(day)
    if parsed is None:
        what = f"{option} {day}" if option else repr(day)
        raise InputError(f"{what} is no date. Write it like 2020-06-30, a month like 2020-06, a year like 2020.")
    return parsed


def _given_day(text: str) -> date | None:
    if re.fullmatch(r"\d{8}", text):  # the short form of ISO 8601
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return iso_day(text + REST.get(len(text), ""))


def _rasters(source: str | Path | Sequence[LayerLike]) -> list[LayerLike]:
    if not isinstance(source, (str, Path)):
        return list(source)
    folder = Path(source)
    if any(mark in str(source) for mark in "*?"):
        return [*find_tiles(source)]
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of rasters and no STAC collection (.json). Check the path.")
    files = sorted(item for item in folder.iterdir() if item.suffix.lower() in TILE_SUFFIXES)
    folders = sorted(item for item in folder.iterdir() if item.is_dir())
    if not files and not folders:
        raise InputError(f"the folder {folder} holds no raster ({', '.join(sorted(TILE_SUFFIXES))}). Check the path.")
    return [*(files or folders)]


def _dates(
    rasters: Sequence[LayerLike], dates: Sequence[str | date] | None, pattern: str | None, what: str = "rasters"
) -> list[tuple[date, bool]]:
    """Return the date of each raster, and whether only its year is known."""
    if dates is not None:
        if len(dates) != len(rasters):
            raise InputError(f"{len(dates)} dates were given for {len(rasters)} {what}. Give as many {what} as dates.")
        return [(as_date(day), isinstance(day, str) and len(day) == len("2020")) for day in dates]
    return [_date_of(raster, pattern) for raster in rasters]


def _date_of(raster: LayerLike, pattern: str | None) -> tuple[date, bool]:
    name = _name(raster)
    day, alone = dated_name(file_name_of(name), pattern)
    if day is None and pattern is None:
        stated = Layer.open(raster).acquired
        day, alone = (None if stated is None else stated[1]), False
    if day is None:
        where = f"by the pattern {pattern!r}" if pattern else "in its name or in a tag of acquisition"
        raise InputError(
            f"{name} has no date {where}, such as 2020-06-30 or 20200630, with two digits for month and day; TIFFTAG_DATETIME is "
            "the time when the file was written. Give the dates (--set dates=…), or how they stand in the names "
            "(--set date_pattern=…)."
        )
    return day, alone


def _date_by_pattern(name: str, pattern: str) -> date | None:
    """Return the first date of this pattern, preferably not part of a longer number, and of a year from 1900 to 2099."""
    candidates = []
    for match in re.finditer(f"(?=({_expression(pattern)}))", name):
        day = _parse(match[1], pattern)
        if day is not None:
            start, end = match.span(1)
            inside = name[start - 1 : start].isdecimal() or name[end : end + 1].isdecimal()
            candidates.append((inside, day.year not in USUAL_YEARS, day))
    return min(candidates, key=lambda one: one[:2])[2] if candidates else None


def _expression(pattern: str) -> str:
    parts = re.split("%(.)", pattern)
    unknown = [letter for letter in parts[1::2] if letter not in FIELDS]
    if unknown or len(parts) == 1:
        raise InputError(
            f"the pattern of dates {pattern!r} is not understood. Use %Y, %m, %d, %j, %b, %y, as in %Y%m%d."
        )
    return "".join(FIELDS[part] if index % 2 else re.escape(part) for index, part in enumerate(parts))


def _parse(text: str, pattern: str) -> date | None:
    try:
        day = datetime.strptime(text, pattern).date()
    except ValueError:
        return None
    same = day.strftime(pattern).casefold() == text.casefold()  # day 366 of most years is read as one of the next
    return day if same else None


def _name(raster: LayerLike) -> str:
    if isinstance(raster, (str, Path)):
        return str(raster)
    if isinstance(raster, Asset):
        return raster.target
    return raster.source if isinstance(raster, Layer) else "an array"


def _stac_images(path: Path, assets: Sequence[str], mask: str | None) -> list[DatedImage]:
    collection = read_json(path)
    items = collection.get("features", [collection]) if isinstance(collection, dict) else None
    if not isinstance(items, list) or not all(
        isinstance(item, dict) and isinstance(item.get("assets"), dict) for item in items
    ):
        raise InputError(f"{path} is no STAC ItemCollection: its features have no assets. Write one with pystac.")
    return [_stac_image(path, StacItem(item, str(path)), assets, mask) for item in items]


def _stac_image(path: Path, item: StacItem, assets: Sequence[str], mask: str | None) -> DatedImage:
    where, text = f"{path}: item {item.content.get('id')!r}", item.time_text
    try:
        time = parse_time(text)
        day = _given_day(text[: len("2020-06-30")]) if time is None else time.date()
        if day is None:
            what = f"the datetime {text!r}, expected one like" if text else "no datetime such as"
            raise InputError(f"{where} has {what} 2020-06-30T10:00:00Z. Set it in its properties.")
        names = list(assets) or item.raster_names(apart=mask)
        if len(names) != 1 and not assets:
            raise InputError(f"{where} has the raster assets {names}. Choose those to use with --set assets.")
        sources = tuple(_source(path, item, name, where) for name in names)
        masks = () if mask is None else (_source(path, item, mask, where),)
    except ITEM_ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where} cannot be read: {error}. Correct it.") from error
    return DatedImage(day, sources, masks, year_alone=len(text) == len("2020"))


def _source(path: Path, item: StacItem, name: str, where: str) -> LayerLike:
    """Return the file of an asset, with what the item states about its bands, if anything."""
    if name not in item.assets:
        raise InputError(f"{where} has no asset {name!r}. {name_hint(name, item.assets)}")
    asset = item.assets[name]
    target, bands = item.file_of(asset, REMEDY), item.stated_bands(asset, str(path))
    return Asset(str(target), bands) if bands else str(target)
