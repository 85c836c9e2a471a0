"""Assets of STAC items: the raster that ITEM or ITEM#ASSET refers to, and what the item says of its numbers.

A file on disk refers to files alone: it never makes the program go online.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.formats.access import TIMEOUT_S, check_beside, is_remote

SUFFIXES = (".json", ".geojson")
MOST_BYTES = 16 << 20
MOST_S = 120  # until a document that goes on and on is given up
RASTERS = ("image/tiff", "image/jp2", "image/png", "image/jpeg", "image/vnd.stac.geotiff")
MAIN_ROLES = ("visual", "data")  # what an item is about, rather than its thumbnail; the first that it has counts


class Asset(NamedTuple):
    """Where an asset lies (path or address), and what the item says of each band: `scale`, `offset`, `nodata` and `unit` where it does."""

    target: str
    bands: tuple[dict[str, Any], ...] = ()


def asset_of(text: str) -> Asset | None:
    """The asset that ITEM.json, ITEM.json#ASSET or an item's address refers to; None for other texts.

    InputError for an item that cannot be read, leaves the asset open, or lies on disk and refers to an address.

    >>> asset_of("scene.tif") is None
    True
    """
    item, mark, asset = text.partition("#")
    address = urlsplit(item)
    is_address = is_web_address(item)
    if not (address.path.lower().endswith(SUFFIXES) or (is_address and mark)):
        return None
    if not is_address and (is_remote(item) or not Path(item).is_file()):
        return None
    content, base = read_document(item)
    if content is None or "stac_version" not in content:
        if is_address and mark:
            raise InputError(f"{item} is no STAC item. Give the address of a raster, or of an item with #ASSET.")
        return None
    chosen = choose_asset(content, item, asset)
    href, bands = str(chosen["href"]), _bands(content, chosen, item)
    if is_address:
        return Asset(urljoin(base, href), bands)
    if is_remote(href):
        raise InputError(f"{item} on this computer refers to {href}. Give that address itself where it is to be read.")
    if not href.isprintable():
        raise InputError(
            f"{item} refers to {href!r}, which no file is called. Correct the item, or give the raster itself."
        )
    target = (Path(item).parent / href).resolve()
    check_beside(Path(item), target, "Give the raster itself.")
    return Asset(str(target), bands)


def read_document(source: str) -> tuple[Mapping[str, Any] | None, str]:
    """The JSON object at an address or in a file, None for other content, and where it was read, behind redirects; else InputError."""
    base, pieces, size = source, list[bytes](), 0
    try:
        with _open(source) as answer:
            base = getattr(answer, "url", source)
            latest = time.monotonic() + MOST_S
            while size <= MOST_BYTES and (piece := answer.read1(1 << 16)):
                pieces.append(piece)
                size += len(piece)
                if time.monotonic() > latest:
                    raise TimeoutError(f"it had not come to an end after {MOST_S} seconds")
        content = json.loads(b"".join(pieces)) if size <= MOST_BYTES else None
    except (HTTPException, OSError) as error:
        what = "address and the network" if is_web_address(source) else "file"
        raise InputError(f"{source} could not be read: {error}. Check the {what}.") from error
    except (ValueError, RecursionError):
        return None, base
    return content if isinstance(content, dict) else None, base


def _open(source: str) -> Any:
    if not is_web_address(source):
        return Path(source).open("rb")
    request = urllib.request.Request(source, headers={"User-Agent": "deepnets4eo"})
    return urllib.request.urlopen(request, timeout=TIMEOUT_S)


def is_web_address(text: str) -> bool:
    """Whether a text is an address of http or https."""
    return urlsplit(text).scheme in ("http", "https")


def _bands(content: Mapping[str, Any], asset: Mapping[str, Any], item: str) -> tuple[dict[str, Any], ...]:
    """What STAC 1.1 or the raster extension says of an asset's bands; offsets already applied ("…:boa_offset_applied") are none."""
    listed = asset.get("raster:bands") or asset.get("bands") or [{}]
    bands = []
    for band in listed if isinstance(listed, list) else [{}]:
        every = {**asset, **band} if isinstance(band, dict) else asset
        stated = {key: every.get(f"raster:{key}", every.get(key)) for key in ("scale", "offset", "nodata", "unit")}
        known = {key: value for key, value in stated.items() if value is not None}
        try:
            bands.append({key: str(value) if key == "unit" else float(value) for key, value in known.items()})
        except (TypeError, ValueError) as error:
            raise InputError(f"{item} has {stated} for a band; expected numbers. Correct the item.") from error
    properties = content.get("properties")
    applied = {**(properties if isinstance(properties, dict) else {}), **asset}
    if any(str(key).endswith(":boa_offset_applied") and value is True for key, value in applied.items()):
        bands = [{key: value for key, value in band.items() if key != "offset"} for band in bands]
    return tuple(bands) if any(bands) else ()


def choose_asset(content: Mapping[str, Any], item: str, asset: str) -> Mapping[str, Any]:
    """The named asset, or the only raster that can be meant. Errors: InputError lists the names."""
    if content.get("type") != "Feature":
        raise InputError(f"{item} is a STAC {content.get('type')}, expected an item. Give one of its items.")
    listed = content.get("assets")
    assets = {
        str(name): one for name, one in (listed if isinstance(listed, dict) else {}).items()
        if isinstance(one, dict) and isinstance(one.get("href"), str)
    }  # fmt: skip
    if asset:
        if asset not in assets:
            raise InputError(f"{item} has no asset {asset!r}. {name_hint(asset, assets)}")
        return assets[asset]
    rasters = {name: one for name, one in assets.items() if str(one.get("type", "")).lower().startswith(RASTERS)}
    main = [
        {name: one for name, one in rasters.items() if role in (name, *_words(one.get("roles")))} for role in MAIN_ROLES
    ]
    chosen = next(filter(None, main), rasters)
    if len(chosen) != 1:
        raise InputError(
            f"{item} has {len(chosen) or 'no'} rasters{': ' if chosen else ''}{', '.join(chosen)}. Name one as {item}#ASSET; its "
            f"assets are {', '.join(assets) or 'none'}."
        )
    return next(iter(chosen.values()))


def _words(value: Any) -> set[str]:
    return set(map(str, value)) if isinstance(value, list) else set()
