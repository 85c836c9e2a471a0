"""The only reader of STAC items: their time, projection and assets, and the band properties that they declare.

A file on disk may refer only to files: it never makes the program go online. Impossible values are taken as not stated.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from deepnets4eo.addresses import name_of, path_of
from deepnets4eo.errors import InputError, Reading, name_hint
from deepnets4eo.formats.access import check_beside, is_remote
from deepnets4eo.formats.web import Session, WebRequest, failure_text, is_web_address

SUFFIXES = (".json", ".geojson")
RASTERS = ("image/tiff", "image/jp2", "image/png", "image/jpeg", "image/vnd.stac.geotiff")
RASTER_SUFFIXES = {".tif", ".tiff", ".vrt", ".jp2", ".png", ".jpg", ".jpeg", ".img"}  # of assets without a media type
MAIN_ROLES = ("visual", "data")  # what an item is about, rather than its thumbnail; the first that it has counts
POSTS_JSON = {"Content-Type": "application/json", "Accept": "application/geo+json, application/json"}
NO_IMAGE = {"thumbnail", "overview", "metadata"}  # roles
TIMES = ("datetime", "start_datetime", "end_datetime")
PROJECTIONS = ("proj:code", "proj:epsg", "proj:wkt2", "proj:projjson", "eo:epsg")  # the last before STAC 0.9
TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*([Zz]|[+-]\d\d(?::?\d\d)?)?)?"
)
DEGREE_M = 111_320.0  # of latitude
MAX_NAME_CHARACTERS = 200  # characters of a name
# of items that are no items: whatever kind of value stands anywhere in them
ITEM_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError, OSError)


class Asset(NamedTuple):
    """Path or address of an asset, and the properties that the item states of each band: `scale`, `offset`, `nodata`, `unit` and `name`, if given."""

    target: str
    bands: tuple[dict[str, Any], ...] = ()


class StacItem:
    """A STAC item: its own properties and its assets, taken from its JSON. Impossible values are taken as not stated.

    content : the JSON object
    base : path or address that it was read from, and that its references to assets start from
    """

    def __init__(self, content: Mapping[str, Any], base: str) -> None:
        properties, assets = content.get("properties"), content.get("assets")
        self.content, self._base = content, base
        self.properties: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
        self.assets: dict[str, Mapping[str, Any]] = {
            str(name): asset for name, asset in (assets if isinstance(assets, dict) else {}).items()
            if isinstance(asset, dict) and isinstance(asset.get("href"), str)
        }  # fmt: skip

    @property
    def time_text(self) -> str:
        """Return the first time that the item states, verbatim; "" for none."""
        return next((str(self.properties[key]) for key in TIMES if self.properties.get(key)), "")

    def times(self) -> tuple[datetime, datetime]:
        """Return the first and last moment of acquisition, equal if the item states no range. Errors: InputError for none."""
        when, start, end = (parse_time(self.properties.get(key)) for key in TIMES)
        first, last = start or when or end, end or when or start
        if first is None or last is None:
            raise InputError("it has no time")
        return (first, last) if first <= last else (when or first, when or first)

    def projection_of(self, asset: Mapping[str, Any]) -> str:
        """Return a name of an asset's CRS, by its code, WKT or PROJJSON; "" if nothing is stated. Errors: InputError if it has no CRS."""
        every = {**self.properties, **asset}
        stated = {key: every[key] for key in PROJECTIONS if key in every}
        for key, value in stated.items():
            if value:
                text = value if isinstance(value, (str, int)) else json.dumps(value, sort_keys=True)
                return f"EPSG:{text}" if key in ("proj:epsg", "eo:epsg") else str(text)
        if stated:
            raise InputError("it has no projection; put it on the ground first, e.g. with gdalwarp -rpc")
        return ""

    def pixel_m(self, asset: Mapping[str, Any]) -> float | None:
        """Return the pixel size that an asset states, in metres; None if neither it nor its bands nor its grid state any.

        An item of STAC 1.1 states it in the bands. A grid (`proj:transform`, else `proj:shape` and `proj:bbox`) states it if it is in metres
        or degrees.
        """
        sizes = [_size(asset.get(key)) for key in ("gsd", "eo:gsd", "raster:spatial_resolution")]
        words = ("gsd", "raster:spatial_resolution", "spatial_resolution")
        bands = self.bands_of(asset) or self.bands_of(self.properties)  # STAC 1.1 also states bands of all assets
        of_bands = [[_size(band.get(word)) for word in words] for band in bands]
        known = [size for band in of_bands for size in band if size is not None]
        sizes += [max(known, default=None), self._grid_size(asset)]
        return next((size for size in sizes if size is not None), None)

    def _grid_size(self, asset: Mapping[str, Any]) -> float | None:
        """Return the larger side of a pixel of an asset's grid in metres; None if it states none, or a CRS that cannot be read."""
        every = {**self.properties, **asset}
        if not any(every.get(key) for key in PROJECTIONS):
            return None
        unit_m = _unit_m(self.projection_of(asset))
        transform, shape, box = (every.get(f"proj:{key}") for key in ("transform", "shape", "bbox"))
        try:
            if isinstance(transform, list) and len(transform) >= 6:
                a, b, _, d, e, *_ = map(float, transform)
                size = max(math.hypot(a, d), math.hypot(b, e))
            else:
                west, south, east, north = map(float, box)  # type: ignore[arg-type]
                rows, cols = map(float, shape)  # type: ignore[arg-type]
                size = max((east - west) / cols, (north - south) / rows)
        except (TypeError, ValueError, ZeroDivisionError):  # none, or no numbers
            return None
        return None if unit_m is None else _size(size * unit_m)

    def href_of(self, asset: Mapping[str, Any]) -> str:
        """Return the path or address of an asset, or of one of its alternates if only the alternate can be read."""
        alternates = asset.get("alternate")
        others = alternates.values() if isinstance(alternates, dict) else ()
        listed = [
            str(asset["href"]),
            *(str(link["href"]) for link in others if isinstance(link, dict) and "href" in link),
        ]
        return path_of(next(filter(self._can_read, listed), listed[0]))

    def file_of(self, asset: Mapping[str, Any], remedy: str) -> Path:
        """Return the file of an asset of an item on this computer. Errors: InputError for an address, and, with the remedy, for a file elsewhere."""
        return _beside(Path(self._base), self.href_of(asset), remedy)

    def _can_read(self, href: str) -> bool:
        """Return whether the target of a reference can be read: existing files, and, if the item is at an address, http addresses."""
        if is_web_address(self._base):
            return is_web_address(urljoin(self._base, href))
        try:
            path = path_of(href)
            return not is_remote(path) and (Path(self._base).parent / path).is_file()
        except (OSError, ValueError):
            return False

    def choose_asset(self, item: str, asset: str = "") -> tuple[Mapping[str, Any], list[str]]:
        """Return the named asset, or the only raster that can be meant among the readable assets; and the assets that cannot be read.

        Errors: InputError, which lists the names; item : what it is called there."""
        if self.content.get("type") != "Feature":
            raise InputError(f"{item} is a STAC {self.content.get('type')}, expected an item. Give one of its items.")
        if asset:
            if asset not in self.assets:
                raise InputError(f"{item} has no asset {asset!r}. {name_hint(asset, self.assets)}")
            return self.assets[asset], []
        chosen = self._visual_of(self.raster_names())
        away = [
            f"{name} at {name_of(asset['href'])}" for name, asset in self.assets.items()
            if _is_raster(asset) and not self._can_read(self.href_of(asset))
        ]  # fmt: skip
        if len(chosen) != 1:
            raise InputError(
                f"{item} has {len(chosen) or 'no'} rasters{': ' if chosen else ''}{', '.join(chosen)}. Name one as {item}#ASSET; its "
                f"assets are {', '.join(self.assets) or 'none'}{', and cannot be read: ' if away else ''}{', '.join(away)}."
            )
        return self.assets[chosen[0]], away

    def _visual_of(self, names: list[str]) -> list[str]:
        """Return the one image for the eye among several: by a word of its name (ortho_visual), or the finest with this role (TCI_10m, TCI_20m)."""
        named = [name for name in names if "visual" in re.split(r"[^a-z]+", name.lower())]
        if len(names) > 1 and len(named) == 1:
            return named
        visual = [name for name in names if "visual" in _words(self.assets[name].get("roles"))]
        sizes = {name: self.pixel_m(self.assets[name]) for name in visual} if len(names) > 1 else {}
        known = {name: size for name, size in sizes.items() if size is not None}
        finest = [name for name, size in known.items() if size == min(known.values())]
        return finest if len(known) == len(names) and len(finest) == 1 else names

    def raster_names(self, apart: str | None = None) -> list[str]:
        """Return names of the assets that may be its image, except one.

        They are the assets of the first main role with a readable asset, else of the first main role, else all but thumbnails."""
        rasters = {name: asset for name, asset in self.assets.items() if _is_raster(asset) and name != apart}
        roles = {name: {name, *_words(asset.get("roles"))} for name, asset in rasters.items()}
        groups = [[name for name in rasters if role in roles[name]] for role in MAIN_ROLES]
        groups = [group for group in groups if group]
        if not groups:
            groups = [[name for name in rasters if not NO_IMAGE & roles[name]] or [*rasters]]
        known = [[name for name in group if self._can_read(self.href_of(rasters[name]))] for group in groups]
        return next(filter(None, known), groups[0])

    def no_image(self, asset: Mapping[str, Any]) -> str | None:
        """Return the role that makes an asset no image, None for an image; "visual" alongside a thumbnail is always an image."""
        listed = {
            name: _words(entry["roles"]) for name, entry in self.assets.items() if isinstance(entry.get("roles"), list)
        }
        own = next((name for name, entry in self.assets.items() if entry is asset), "")
        roles = listed.get(own, set())
        if not NO_IMAGE & roles or set(MAIN_ROLES) & roles:
            return None
        has_thumbnail = any(name != own and "thumbnail" in {name, *words} for name, words in listed.items())
        return None if own == "visual" and has_thumbnail else min(NO_IMAGE & roles)

    def bands_of(self, asset: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the records of each band of an asset, by STAC 1.1 or its raster and optical extensions, else the item's bands."""
        lists = list[list[Any]]()
        for key in ("bands", "eo:bands", "raster:bands"):
            listed, shared = asset.get(key), self.properties.get(key)
            if isinstance(listed, list) and isinstance(shared, list):  # before STAC 0.9 numbers of those of the item
                listed = [
                    shared[entry] if isinstance(entry, int) and 0 <= entry < len(shared) else entry for entry in listed
                ]
            if isinstance(listed, list) and listed:
                lists.append(listed)
        count = max(map(len, lists), default=0)
        same = [listed * (count // len(listed)) for listed in lists if len(listed) in (1, count)]  # one stands for all
        rows: Iterator[tuple[Any, ...]] = zip(*same, strict=True)
        return [
            {key: value for band in row if isinstance(band, dict) for key, value in band.items() if value is not None}
            for row in rows
        ]

    def stated_bands(self, asset: Mapping[str, Any], item: str) -> tuple[dict[str, Any], ...]:
        """Scale, offset, nodata, unit and name of each band; offsets already applied ("…:boa_offset_applied") are none."""
        records, bands = self.bands_of(asset), list[dict[str, Any]]()
        names = _names(records)
        for number, record in enumerate(records or [{}]):
            every = {**asset, **record}
            stated = {key: every.get(f"raster:{key}", every.get(key)) for key in ("scale", "offset", "nodata", "unit")}
            known = {key: value for key, value in stated.items() if value is not None}
            try:
                bands.append({key: str(value) if key == "unit" else float(value) for key, value in known.items()})
            except (TypeError, ValueError, OverflowError) as error:
                raise InputError(f"{item} has {stated} for a band; expected numbers. Correct the item.") from error
            bands[-1] |= {"name": names[number]} if names else {}
        applied = {**self.properties, **asset}
        if any(str(key).endswith(":boa_offset_applied") and value is True for key, value in applied.items()):
            bands = [{key: value for key, value in band.items() if key != "offset"} for band in bands]
        return tuple(bands) if any(bands) else ()


@Reading.of_source("Is it the right file? Correct it, or write it again.")
def asset_of(text: str) -> Asset | None:
    """Return the asset that ITEM.json, ITEM.json#ASSET or an item's address refers to; None for other texts.

    InputError for an item that cannot be read, leaves the asset open, or is on disk and refers to an address.

    >>> asset_of("scene.tif") is None
    True
    """
    item, mark, asset = text.partition("#")
    is_address = is_web_address(item)
    path = urlsplit(item).path if is_address else item
    if not (path.lower().endswith(SUFFIXES) or (is_address and mark)):
        return None
    if not is_address and (is_remote(item) or not Path(item).is_file()):
        return None
    document, base = fetch_document(item)
    content = parse_document(document)
    if content is None or "stac_version" not in content:
        if is_address and mark:
            raise InputError(f"{item} is no STAC item. Give the address of a raster, or of an item with #ASSET.")
        return None
    stac = StacItem(content, base)
    try:
        chosen = stac.choose_asset(item, asset)[0]
        href, bands = stac.href_of(chosen), stac.stated_bands(chosen, item)
        return Asset(
            urljoin(base, href) if is_address else str(_beside(Path(item), href, "Give the raster itself.")), bands
        )
    except ITEM_ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{item} is no STAC item that can be read: {error}. Correct it.") from error


def _beside(item: Path, href: str, remedy: str) -> Path:
    """Return the file that an item on this computer refers to. Errors: InputError for an address, and, with the remedy, for a file elsewhere."""
    if is_remote(href):
        raise InputError(f"{item} on this computer refers to {href}. Give that address itself where it is to be read.")
    if not href.isprintable():
        raise InputError(
            f"{item} refers to {href!r}, which no file is called. Correct the item, or give the raster itself."
        )
    target = (item.parent / href).resolve()
    check_beside(item, target, remedy)
    return target


def fetch_document(
    source: str, session: Session | None = None, body: Mapping[str, Any] | None = None
) -> tuple[bytes, str]:
    """Return the bytes of a document, and its final location; body : is posted as JSON to an address. Errors: InputError."""
    if is_web_address(source):
        posted: dict[str, Any] = {} if body is None else {"data": json.dumps(body).encode(), "headers": POSTS_JSON}
        try:
            answer = (session or Session(source)).read(source, **posted)
        except WebRequest.errors as error:
            reason = failure_text(error)
            raise InputError(f"{source} could not be read: {reason}. Check the address and the network.") from error
        return answer.content, answer.address
    try:
        with Path(source).open("rb") as file:
            return file.read(WebRequest.max_bytes + 1), source
    except OSError as error:
        raise InputError(f"{source} could not be read: {error}. Check the file.") from error


def parse_document(content: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a document; None for other content, and more than MAX_BYTES."""
    try:
        value = json.loads(content) if len(content) <= WebRequest.max_bytes else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def parse_time(text: Any) -> datetime | None:
    """Return the time of RFC 3339 text in UTC, which is also its zone if it names no zone; None for anything else.

    >>> parse_time("2023-02-06T02:30:00.500+03:00")
    datetime.datetime(2023, 2, 5, 23, 30, 0, 500000, tzinfo=datetime.timezone.utc)
    """
    match = TIME.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        return None
    *whole, fraction, zone = match.groups()
    year, month, day, hour, minute, second = (int(part or 0) for part in whole)
    try:
        when = datetime(year, month, day, hour, minute, min(second, 59), int((fraction or "0")[:6].ljust(6, "0")))
        return (when - _zone(zone)).replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # 30 February; the year 0
        return None


def _zone(text: str | None) -> timedelta:
    if text is None or text in "Zz":
        return timedelta(0)
    hours, minutes = int(text[1:3]), int(text[3:].lstrip(":") or 0)
    return (-1 if text[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes)


def _size(value: Any) -> float | None:
    """Return a size in metres as a number above 0, None for anything else."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value < math.inf else None


def _unit_m(projection: str) -> float | None:
    """Return the metres of one unit of a CRS by its name, WKT or PROJJSON; None for a CRS that PROJ does not know."""
    import pyproj

    try:
        crs = pyproj.CRS.from_user_input(projection)
    except pyproj.exceptions.CRSError:
        return None
    return DEGREE_M if crs.is_geographic else float(crs.axis_info[0].unit_conversion_factor)


def _is_raster(asset: Mapping[str, Any]) -> bool:
    if isinstance(asset.get("type"), str):
        return str(asset["type"]).lower().startswith(RASTERS)
    return PurePosixPath(str(asset["href"]).partition("?")[0]).suffix.lower() in RASTER_SUFFIXES


def _words(value: Any) -> set[str]:
    return set(map(str, value)) if isinstance(value, list) else set()


def _names(records: list[dict[str, Any]]) -> list[str]:
    """Return the name of each band: what only this band shows ("red"), else its own name; no names if a band has neither."""
    shows = [_text(record.get("eo:common_name") or record.get("common_name")) for record in records]
    own = [_text(record.get("name")) for record in records]
    names = [name if name and shows.count(name) == 1 else other or name for name, other in zip(shows, own, strict=True)]
    return names if all(names) and len(set(names)) == len(names) else []


def _text(value: Any) -> str:
    return value.strip()[:MAX_NAME_CHARACTERS] if isinstance(value, str) and value.isprintable() else ""
