"""Images that show a box before or after an event, from items of catalogues: tiles of one pass as one image, and its score.

Values that cannot be are taken as not stated.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import product
from typing import Annotated, Any, TypeAlias

import shapely
from pydantic import Field

from deepnets4eo.catalogues.options import FindOptions
from deepnets4eo.catalogues.search import Item, link_target
from deepnets4eo.degree_boxes import Box, box_shape
from deepnets4eo.errors import InputError
from deepnets4eo.formats import ITEM_ERRORS, StacItem, is_web_address
from deepnets4eo.options import Section

ONE_PASS, ONE_VIEW_DEG = timedelta(minutes=10), 5.0  # between neighbouring tiles
MIN_SHARE, ADDS = 0.05, 0.001  # of the box: of an image, and of a further tile
MAX_PAIRED_IMAGES = 100  # images of each role
ASSUMED_CLOUD, ASSUMED_OFF_NADIR_DEG, ASSUMED_GSD_M, ASSUMED_LEAN = 30.0, 25.0, 1.0, 0.3  # where nothing is stated
STEEPEST_DEG, SHARP_M, BRIGHT_DEG = 60.0, 0.5, 30.0
HALF_AFTER = {"before": 365, "after": 30}  # days

ELSEWHERE = "outside of the box"

Rejected: TypeAlias = tuple[str, Any]  # a line with the reason; footprint or None


class PlannedImage(Section):
    """Tiles of one pass, files or addresses, and what the catalogue states; cloud and covered in percent of the box."""

    files: list[str]
    name: str = ""
    time: str = ""
    sensor: str = ""
    gsd_m: Annotated[float | None, Field(gt=0)] = None
    bits: int = 8
    cloud: Annotated[float | None, Field(ge=0, le=100)] = None
    covered: Annotated[float, Field(ge=0, le=100)] = 100.0
    off_nadir_deg: Annotated[float | None, Field(ge=0, le=80)] = None
    azimuth_deg: Annotated[float | None, Field(ge=-360, le=360)] = None
    sun_deg: Annotated[float | None, Field(ge=-90, le=90)] = None
    licence: str = ""
    credit: str = ""
    score: float = 0.0


@dataclass(frozen=True)
class Candidate:
    """An image with the first and last moment of its time, footprint in degrees, CRS, and the name of its pass, if stated."""

    image: PlannedImage
    when: datetime
    until: datetime
    footprint: Any
    crs: str
    group: str
    role: str = ""
    score: str = ""

    @property
    def line(self) -> str:
        """Name and time."""
        return f"{self.image.name}, {self.image.time}"


def candidates_of(
    items: Sequence[tuple[str, Item]], box: Box, event: datetime, options: FindOptions, *, whole_day: bool
) -> tuple[list[Candidate], list[Rejected], Counter[str]]:
    """Images over a box, what cannot serve, and counts of notes. items : each with its catalogue; event : with a zone."""
    images, rejected, tiles = list[Candidate](), list[Rejected](), dict[str, Candidate]()
    area, notes = box_shape(box), Counter[str]()
    for root, item in items:
        try:
            if isinstance(item.area, Exception):
                raise item.area
            if not shapely.intersects(item.area, area):
                notes[ELSEWHERE] += 1
                continue
            tile, away = _tile_of(item, root)
        except ITEM_ERRORS as error:
            rejected.append((f"{_line(item.content.get('id') or item.base)}: {_reason(error)}", None))
            continue
        tiles.setdefault(tile.image.files[0], tile)
        notes.update(f"an image that cannot be read from here: {name}" for name in away)
    for group in _passes(tiles):
        try:
            images.append(_join(group, area, event, options, whole_day=whole_day))
        except InputError as error:
            footprint = shapely.union_all([candidate.footprint for candidate in group])
            rejected.append((f"{group[0].line}: {error}", footprint))
    return images, rejected, notes


def best_pair(images: Sequence[Candidate]) -> tuple[Candidate | None, Candidate | None, float]:
    """Return the images before and after whose scores, times 1 / (1 + 2 x difference of lean), have the highest product, and it."""
    best = sorted(images, key=lambda one: -one.image.score)
    sides: list[list[Candidate | None]] = [
        [*[candidate for candidate in best if candidate.role == role][:MAX_PAIRED_IMAGES]] or [None]
        for role in ("before", "after")
    ]

    def value(pair: Sequence[Candidate | None]) -> float:
        known = [candidate.image for candidate in pair if candidate is not None]
        apart = lean_difference(*known) if len(known) == 2 else (0.0, 0.0)
        return math.prod(image.score for image in known) / (1 + 2 * (ASSUMED_LEAN if apart is None else apart[1]))

    before, after = max(product(*sides), key=value)
    return before, after, value((before, after))


def lean_difference(a: PlannedImage, b: PlannedImage) -> tuple[float, float] | None:
    """Return the minimum and maximum distance between a top's positions in two images, in metres per metre of height.

    An object leans by the tangent of the angle, away from the sensor. None if an angle is unknown.

    Both limits are equal if azimuths are known, or if an image was taken from straight above.
    """
    if a.off_nadir_deg is None or b.off_nadir_deg is None:
        return None
    one, other = (math.tan(math.radians(angle)) for angle in (a.off_nadir_deg, b.off_nadir_deg))
    if a.azimuth_deg is None or b.azimuth_deg is None:
        return abs(one - other), one + other
    turn = math.radians(a.azimuth_deg - b.azimuth_deg)
    apart = math.hypot(one - other * math.cos(turn), other * math.sin(turn))
    return apart, apart


def score_shares(image: PlannedImage, role: str, days: float) -> dict[str, float]:
    """Return the six shares, 0–1 each, whose product is the score of an image; an unstated property has its usual value.

    days : between event and image"""
    angle = ASSUMED_OFF_NADIR_DEG if image.off_nadir_deg is None else image.off_nadir_deg
    return {
        "covered": image.covered / 100,
        "clear": 1 - (ASSUMED_CLOUD if image.cloud is None else image.cloud) / 100,
        "from above": max(0.0, 1 - angle / STEEPEST_DEG),
        "fine": min(1.0, SHARP_M / (image.gsd_m or ASSUMED_GSD_M)),
        "bright": 1.0 if image.sun_deg is None else min(1.0, image.sun_deg / BRIGHT_DEG),
        "near": 1 / (1 + days / HALF_AFTER[role]),
    }


def score_text(image: PlannedImage, shares: Mapping[str, float]) -> str:
    """Return a score as the product of its shares, with the assumptions made."""
    stated = {"clear": image.cloud, "from above": image.off_nadir_deg, "fine": image.gsd_m, "bright": image.sun_deg}
    parts = [
        f"{name} {share:.2f}{' (not stated)' * (name in stated and stated[name] is None)}"
        for name, share in shares.items()
    ]
    return f"{image.score:.3f} = {' x '.join(parts)}"


def _tile_of(item: Item, root: str) -> tuple[Candidate, list[str]]:
    """Return the image of an item, and a list of images that cannot be read. Raises ITEM_ERRORS with the reason if there is no image."""
    stac = StacItem(item.content, item.base)
    known, (when, until) = stac.properties, stac.times()
    asset, away = stac.choose_asset("it")
    crs = stac.projection_of(asset)
    if (role := stac.no_image(asset)) is not None:
        raise InputError(f"it has only a {role}")
    if any(key.startswith("sar:") for key in known):
        raise InputError("it is a radar image, which shows buildings otherwise; `flood` takes two of them")
    every = {**item.collection, **known, **asset}
    first = next(iter(stac.bands_of(asset)), {})
    wide = str(first.get("data_type", asset.get("data_type", "uint8"))) not in ("uint8", "int8")
    group, providers = _line(_stated(known, "catalog_id", "vn:catalog_id", "mx:catalog_id")), every.get("providers")
    listed = providers if isinstance(providers, list) else ()
    credits = [str(provider.get("name")) for provider in listed if isinstance(provider, dict)]
    file = link_target(item.base, stac.href_of(asset), root, asset=True)
    if item.session is not None and is_web_address(file):
        item.session.check(file)
    image = PlannedImage(
        files=[file],
        name=group or _line(stac.content.get("id") or item.base), time=f"{when.replace(tzinfo=None).isoformat(timespec='minutes')}Z",
        sensor=_line(_stated(known, "platform", "vehicle_name", "eo:platform")), bits=16 if wide else 8,
        gsd_m=_number({"gsd": stac.pixel_m(asset)}, 0.01, 1000, "gsd") or _number(every, 0.01, 1000, "gsd", "pan_gsd", "eo:gsd"),
        cloud=_number(every, 0, 100, "eo:cloud_cover", "tile:clouds_percent"),  # the latter of Maxar's items
        off_nadir_deg=_number(every, 0, 80, "view:incidence_angle", "view:off_nadir", "eo:off_nadir"),
        azimuth_deg=_number(every, -360, 360, "view:azimuth", "eo:azimuth"),
        sun_deg=_number(every, -90, 90, "view:sun_elevation", "eo:sun_elevation"),  # eo: before STAC 1.0
        licence=_line(every.get("license")), credit=_line(", ".join(credits)),
    )  # fmt: skip
    return Candidate(image, when, until, item.area, crs, group), away


def _passes(tiles: Mapping[str, Candidate]) -> list[list[Candidate]]:
    """Return the tiles of each pass: tiles of one name, or of one sensor and view within minutes."""
    passes: list[list[Candidate]] = []
    keys = {href: (tile.group, tile.image.sensor, tile.image.bits) for href, tile in tiles.items()}
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
    """Return the tiles that the box needs, joined in the CRS that covers most of the box. InputError states why they cannot be used."""
    days = (tiles[0].when - event).total_seconds() / 86_400
    through = days < 0 <= (max(tile.until for tile in tiles) - event).total_seconds()
    role, limit = ("before", options.days_before) if days < 0 else ("after", options.days_after)
    is_far = abs(days) > (limit if days < 0 else limit + whole_day)  # the day of the event ends a day after its time
    far = f"{abs(days):.1f}" if int(abs(days)) <= limit else f"{int(abs(days))}"
    shares = [shapely.area(shapely.intersection(tile.footprint, area)) / area.area for tile in tiles]
    of_crs: dict[str, float] = defaultdict(float)
    for tile, share in zip(tiles, shares, strict=True):
        of_crs[tile.crs] += share
    crs, union = max(of_crs, key=lambda key: of_crs[key]), shapely.Polygon()
    chosen, clouds = list[Candidate](), list[tuple[float, float]]()
    order = sorted(range(len(tiles)), key=lambda k: (-round(shares[k], 3), tiles[k].image.cloud or 0.0))
    for tile in (tiles[k] for k in order):
        own = shapely.area(shapely.difference(shapely.intersection(tile.footprint, area), union)) / area.area
        if tile.crs == crs and own > ADDS:
            union = shapely.union(union, tile.footprint)
            chosen.append(tile)
            clouds += [] if tile.image.cloud is None else [(own, tile.image.cloud)]
    first = chosen[0] if chosen else tiles[0]
    covered = shapely.area(shapely.intersection(union, area)) / area.area
    cloud = sum(weight * value for weight, value in clouds) / sum(weight for weight, _ in clouds) if clouds else None
    gsd_m, sun_deg = first.image.gsd_m, first.image.sun_deg
    reasons = {
        "it was taken on the day of the event; give --date with the time": whole_day and 0 <= days < 1,
        "it was taken from before the event to after it": through,
        f"it was taken {far} days {role} the event, {limit} at most": is_far,
        f"it covers {covered:.1%} of the box": covered < MIN_SHARE,
        f"{cloud or 0:.0f} % cloud over the box, {options.max_cloud:g} % at most": (cloud or 0) > options.max_cloud,
        f"pixels of {gsd_m} m, {options.max_gsd_m:g} m at most": (gsd_m or 0) > options.max_gsd_m,
        "it was taken by night": sun_deg is not None and sun_deg <= 0,
    }
    for reason, holds in reasons.items():
        if holds:
            raise InputError(reason)
    update: dict[str, Any] = {"files": [tile.image.files[0] for tile in chosen], "covered": round(100 * covered, 1)}
    image = first.image.model_copy(update=update | {"cloud": None if cloud is None else round(cloud, 1)})
    parts = score_shares(image, role, abs(days))
    image = image.model_copy(update={"score": round(math.prod(parts.values()), 4)})
    return replace(first, image=image, footprint=union, role=role, score=score_text(image, parts))


def _stated(values: Mapping[str, Any], *keys: str) -> Any:
    return next((values[key] for key in keys if values.get(key)), None)


def _number(values: Mapping[str, Any], low: float, high: float, *keys: str) -> float | None:
    numbers = (
        value for value in map(values.get, keys) if isinstance(value, (int, float)) and not isinstance(value, bool)
    )
    return next((float(number) for number in numbers if low <= number <= high), None)


def _reason(error: Exception) -> str:
    return (
        str(error) if isinstance(error, (InputError, OSError)) else f"it is no item that can be read ({_line(error)})"
    )


def _line(value: Any) -> str:
    return "".join(letter for letter in str(value or "") if letter.isprintable())[:200]
