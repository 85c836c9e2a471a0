"""Images that show a box before or after an event, from items of catalogues: tiles of one pass as one image, and its score.

Values that cannot be are taken as not stated.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from itertools import product
from typing import Annotated, Any, TypeAlias

import shapely
from pydantic import Field

from deepnets4eo.catalogues.options import FindOptions
from deepnets4eo.catalogues.search import Item, link_target, parse_time
from deepnets4eo.errors import InputError
from deepnets4eo.formats.stac_items import choose_asset
from deepnets4eo.grid import Box
from deepnets4eo.options import Section

ONE_PASS, ONE_VIEW_DEG = timedelta(minutes=10), 5.0  # between neighbouring tiles
LEAST_SHARE, ADDS = 0.05, 0.001  # of the box: of an image, and of a further tile
MOST_PAIRED = 100  # images of each role
NO_IMAGE = {"thumbnail", "overview", "metadata"}  # roles
ASSUMED_CLOUD, ASSUMED_OFF_NADIR_DEG, ASSUMED_GSD_M, ASSUMED_LEAN = 30.0, 25.0, 1.0, 0.3  # where nothing is stated
STEEPEST_DEG, SHARP_M, BRIGHT_DEG = 60.0, 0.5, 30.0
HALF_AFTER = {"before": 365, "after": 30}  # days

Rejected: TypeAlias = tuple[str, Any]  # a line with the reason; footprint or None


class PlannedImage(Section):
    """Tiles of one pass, files or addresses, and what the catalogue states; cloud and covered in percent of the box."""

    files: list[str]
    name: str = ""
    time: str = ""
    sensor: str = ""
    gsd_m: Annotated[float | None, Field(gt=0)] = None
    bits: int = 8
    cloud: float | None = None
    covered: float = 100.0
    off_nadir_deg: Annotated[float | None, Field(ge=0, le=80)] = None
    azimuth_deg: float | None = None
    sun_deg: float | None = None
    licence: str = ""
    credit: str = ""
    score: float = 0.0


@dataclass(frozen=True)
class Candidate:
    """An image with its time, footprint in degrees, CRS, and the name of its pass, if stated."""

    image: PlannedImage
    when: datetime
    footprint: Any
    crs: str
    group: str
    role: str = ""

    @property
    def line(self) -> str:
        """Name and time."""
        return f"{self.image.name}, {self.image.time}"


def candidates_of(
    items: Sequence[tuple[str, Item]], box: Box, event: datetime, options: FindOptions, *, whole_day: bool
) -> tuple[list[Candidate], list[Rejected], int]:
    """Images over a box, what cannot serve, and the number of items elsewhere. items : each with its catalogue; event : with a zone."""
    images, rejected, tiles = list[Candidate](), list[Rejected](), dict[str, Candidate]()
    area, elsewhere = shapely.box(*box), 0
    for root, item in items:
        try:
            tile = _tile_of(item, root)
        except (InputError, ValueError, OSError) as error:
            rejected.append((f"{_line(item.content.get('id') or item.base)}: {error}", None))
            continue
        if shapely.intersects(tile.footprint, area):
            tiles.setdefault(tile.image.files[0], tile)
        else:
            elsewhere += 1
    for group in _passes(tiles):
        try:
            images.append(_join(group, area, event, options, whole_day=whole_day))
        except InputError as error:
            footprint = shapely.union_all([one.footprint for one in group])
            rejected.append((f"{group[0].line}: {error}", footprint))
    return images, rejected, elsewhere


def best_pair(images: Sequence[Candidate]) -> tuple[Candidate | None, Candidate | None, float]:
    """Return the images before and after whose scores, times 1 / (1 + 2 x difference of lean), have the highest product, and it."""
    best = sorted(images, key=lambda one: -one.image.score)
    sides: list[list[Candidate | None]] = [
        [*[one for one in best if one.role == role][:MOST_PAIRED]] or [None] for role in ("before", "after")
    ]

    def value(pair: Sequence[Candidate | None]) -> float:
        known = [one.image for one in pair if one is not None]
        apart = lean_difference(*known) if len(known) == 2 else 0.0
        return math.prod(one.score for one in known) / (1 + 2 * (ASSUMED_LEAN if apart is None else apart))

    before, after = max(product(*sides), key=value)
    return before, after, value((before, after))


def lean_difference(a: PlannedImage, b: PlannedImage) -> float | None:
    """How far a top lies from where the other image shows it, metres a metre of height: at most, where azimuths are not known.

    An object leans by the tangent of the angle; None where an angle is not known."""
    if a.off_nadir_deg is None or b.off_nadir_deg is None:
        return None
    one, other = (math.tan(math.radians(angle)) for angle in (a.off_nadir_deg, b.off_nadir_deg))
    if a.azimuth_deg is None or b.azimuth_deg is None:
        return one + other
    turn = math.radians(a.azimuth_deg - b.azimuth_deg)
    return math.hypot(one - other * math.cos(turn), other * math.sin(turn))


def _score(image: PlannedImage, role: str, days: float) -> float:
    """Product of six shares: covered, clear, seen from above, fine, bright, near in time."""
    angle = ASSUMED_OFF_NADIR_DEG if image.off_nadir_deg is None else image.off_nadir_deg
    clear = 1 - (ASSUMED_CLOUD if image.cloud is None else image.cloud) / 100
    bright = 1.0 if image.sun_deg is None else min(1.0, image.sun_deg / BRIGHT_DEG)
    fine, near = min(1.0, SHARP_M / (image.gsd_m or ASSUMED_GSD_M)), 1 / (1 + days / HALF_AFTER[role])
    return image.covered / 100 * clear * max(0.0, 1 - angle / STEEPEST_DEG) * fine * bright * near


def _tile_of(item: Item, root: str) -> Candidate:
    """The image of an item. Errors: InputError with the reason why there is none."""
    content, properties = item.content, item.content.get("properties")
    known = properties if isinstance(properties, dict) else {}
    when = next(filter(None, map(parse_time, map(known.get, ("datetime", "start_datetime", "end_datetime")))), None)
    if when is None:
        raise InputError("it has no time")
    crs = next((known[key] for key in ("proj:code", "proj:epsg") if key in known), "")
    if crs is None:
        raise InputError("it has no projection; put it on the ground first, e.g. with gdalwarp -rpc")
    asset = choose_asset(content, "it", "")
    roles = asset.get("roles")
    if isinstance(roles, list) and NO_IMAGE & set(map(str, roles)):
        raise InputError(f"it has only a {roles[0]}")
    every, bands = {**item.collection, **known, **asset}, asset.get("raster:bands") or asset.get("bands")
    first = bands[0] if isinstance(bands, list) and bands and isinstance(bands[0], dict) else {}
    wide = str(first.get("data_type", asset.get("data_type", "uint8"))) not in ("uint8", "int8")
    group, providers = _line(known.get("catalog_id")), every.get("providers")
    listed = providers if isinstance(providers, list) else ()
    names = [str(one.get("name")) for one in listed if isinstance(one, dict)]
    image = PlannedImage(
        files=[link_target(item.base, str(asset["href"]), root, asset=True)],
        name=group or _line(content.get("id") or item.base), time=f"{when.astimezone(timezone.utc):%Y-%m-%dT%H:%MZ}",
        sensor=_line(known.get("platform")), gsd_m=_number(every, 0.01, 1000, "gsd"), bits=16 if wide else 8,
        cloud=_number(every, 0, 100, "eo:cloud_cover", "tile:clouds_percent"),  # the latter of Maxar's items
        off_nadir_deg=_number(every, 0, 80, "view:incidence_angle", "view:off_nadir"),
        azimuth_deg=_number(every, -360, 360, "view:azimuth"), sun_deg=_number(every, -90, 90, "view:sun_elevation"),
        licence=_line(every.get("license")), credit=_line(", ".join(names)),
    )  # fmt: skip
    return Candidate(image, when, _footprint(content), str(crs), group)


def _passes(tiles: Mapping[str, Candidate]) -> list[list[Candidate]]:
    """The tiles of each pass: of one name, or of one sensor and view within minutes."""
    passes: list[list[Candidate]] = []
    keys = {href: (one.group, one.image.sensor, one.image.bits) for href, one in tiles.items()}
    for href, tile in sorted(tiles.items(), key=lambda pair: (keys[pair[0]], pair[1].when, pair[0])):
        last = passes[-1][-1] if passes else tile
        near = tile.when - last.when <= ONE_PASS
        turned = abs((tile.image.off_nadir_deg or 0) - (last.image.off_nadir_deg or 0)) > ONE_VIEW_DEG
        if passes and keys[last.image.files[0]] == keys[href] and (tile.group or (near and not turned)):
            passes[-1].append(tile)
        else:
            passes.append([tile])
    return passes


def _join(
    tiles: Sequence[Candidate], area: Any, event: datetime, options: FindOptions, *, whole_day: bool
) -> Candidate:
    """The tiles that the box needs, in the CRS that covers most of it, as one. Errors: InputError with why they cannot serve."""
    days = (tiles[0].when - event).total_seconds() / 86_400
    role, limit = ("before", options.days_before) if days < 0 else ("after", options.days_after + whole_day)
    shares = [shapely.area(shapely.intersection(one.footprint, area)) / area.area for one in tiles]
    of_crs: dict[str, float] = defaultdict(float)
    for one, share in zip(tiles, shares, strict=True):
        of_crs[one.crs] += share
    crs, union = max(of_crs, key=lambda key: of_crs[key]), shapely.Polygon()
    chosen, clouds = list[Candidate](), list[tuple[float, float]]()
    order = sorted(range(len(tiles)), key=lambda k: (-round(shares[k], 3), tiles[k].image.cloud or 0.0))
    for one in (tiles[k] for k in order):
        own = shapely.area(shapely.difference(shapely.intersection(one.footprint, area), union)) / area.area
        if one.crs == crs and own > ADDS:
            union = shapely.union(union, one.footprint)
            chosen.append(one)
            clouds += [] if one.image.cloud is None else [(own, one.image.cloud)]
    first = chosen[0] if chosen else tiles[0]
    covered = shapely.area(shapely.intersection(union, area)) / area.area
    cloud = sum(own * value for own, value in clouds) / sum(own for own, _ in clouds) if clouds else None
    gsd_m, sun_deg = first.image.gsd_m, first.image.sun_deg
    reasons = {
        "it was taken on the day of the event; give --date with the time": whole_day and 0 <= days < 1,
        f"it was taken {abs(days):.0f} days {role} the event, {limit} at most": abs(days) > limit,
        f"it covers {covered:.1%} of the box": covered < LEAST_SHARE,
        f"{cloud or 0:.0f} % cloud over the box, {options.max_cloud:g} % at most": (cloud or 0) > options.max_cloud,
        f"pixels of {gsd_m} m, {options.max_gsd_m:g} m at most": (gsd_m or 0) > options.max_gsd_m,
        "it was taken by night": sun_deg is not None and sun_deg <= 0,
    }
    for reason, holds in reasons.items():
        if holds:
            raise InputError(reason)
    update: dict[str, Any] = {"files": [one.image.files[0] for one in chosen], "covered": round(100 * covered, 1)}
    image = first.image.model_copy(update=update | {"cloud": None if cloud is None else round(cloud, 1)})
    image = image.model_copy(update={"score": round(_score(image, role, abs(days)), 4)})
    return replace(first, image=image, footprint=union, role=role)


def _footprint(content: Mapping[str, Any]) -> Any:
    """The polygon of an item, else its bbox. Errors: InputError without one in degrees."""
    shapes = []
    with suppress(KeyError, TypeError, ValueError, shapely.errors.ShapelyError):
        shapes.append(shapely.make_valid(shapely.from_geojson(json.dumps(content["geometry"]))))
    with suppress(KeyError, TypeError, ValueError, IndexError):
        bbox = [float(value) for value in content["bbox"]]
        shapes.append(shapely.box(*bbox[:2], *bbox[len(bbox) // 2 :][:2]))
    for shape in shapes:
        west, south, east, north = shape.bounds
        if shape.area > 0 and west >= -181 and east <= 181 and south >= -90 and north <= 90:
            return shape
    raise InputError("it has neither a geometry nor a bbox in degrees")


def _number(values: Mapping[str, Any], low: float, high: float, *keys: str) -> float | None:
    numbers = (one for one in map(values.get, keys) if isinstance(one, (int, float)) and not isinstance(one, bool))
    return next((float(one) for one in numbers if low <= one <= high), None)


def _line(value: Any) -> str:
    return "".join(letter for letter in str(value or "") if letter.isprintable())[:200]
