"""Items of a STAC catalogue that may show a box: a static catalogue by address or path, or the search of a STAC API.

Follows links within limits of documents, bytes and time, and keeps of items what is used. What cannot be read within a catalogue is noted.
"""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlencode, urljoin

from deepnets4eo.catalogues.stac_footprints import footprint
from deepnets4eo.errors import InputError
from deepnets4eo.formats import (
    ITEM_ERRORS,
    Session,
    check_beside,
    check_exist,
    check_online,
    failure_text,
    fetch_document,
    is_remote,
    is_web_address,
    parse_document,
    parse_time,
)
from deepnets4eo.grid import Box
from deepnets4eo.prefetch import in_order

MOST_DOCUMENTS, MOST_ITEMS, MOST_SEARCH_S = 3_000, 10_000, 900  # of one catalogue
AT_ONCE = 8  # documents
PAGE = 100  # items of an answer
OF_COLLECTION = ("license", "providers", "gsd")
OF_ITEM = ("license",)  # beside the properties, in items of Vantor's
OF_PROPERTIES = (
    "datetime",
    "start_datetime",
    "end_datetime",
    "platform",
    "vehicle_name",
    "catalog_id",
    "gsd",
    "pan_gsd",
    "license",
    "providers",
    "bands",
)
OF_ASSET = ("href", "type", "roles", "alternate", "bands", "raster:bands", "data_type", "gsd", "license", "providers")
VENDORS = ("vn:", "mx:")  # before names that items of the same programmes have without
EXTENSIONS = ("proj:", "eo:", "view:", "tile:", "sar:", *VENDORS)

Times = tuple[datetime, datetime]
Body: TypeAlias = Mapping[str, Any] | None  # what is posted as JSON; None for a plain request


class Item(NamedTuple):
    """What is used of an item, where it was read, its collection (empty without one), its area or why it has none, and who read it."""

    content: Mapping[str, Any]
    base: str
    collection: Mapping[str, Any]
    area: Any
    session: Session | None


def read_items(
    catalogue: str, box: Box, times: Times, collections: Sequence[str] = ()
) -> tuple[list[Item], Counter[str]]:
    """The items of a catalogue whose collections meet a box and a time, and counts of what was not read by reason.

    catalogue : catalogue, collection, list of items, or root of a STAC API; times : first and last; collections : of an API, all by
    default. Errors: InputError."""
    if is_web_address(catalogue):
        check_online(f"the catalogue {catalogue}")
    check_exist([catalogue])
    session = Session(catalogue) if is_web_address(catalogue) else None
    document, base = fetch_document(catalogue, session)
    content = parse_document(document)
    if content is None or not ("stac_version" in content or content.get("type") == "FeatureCollection"):
        raise InputError(
            f"{catalogue} is no STAC catalogue (JSON with stac_version). Give its catalog.json, or its API."
        )
    walk = _Walk(catalogue, base, session, box, times)
    queries = [*_links(content, "search"), *_links(content, "items")]
    query = min(queries, key=_is_posted, default=None)
    if query is None or not is_web_address(base):
        walk.take(content, base, {}, None)
    else:
        start, body = _first_page(query, base, box, times, collections)
        walk.add(start, _keep(content, OF_COLLECTION) if content.get("type") == "Collection" else {}, body)
    walk.read_all()
    if query is not None and not walk.items and walk.notes:
        raise InputError(f"{catalogue} did not answer its search: {', '.join(walk.notes)}. Check it, and the network.")
    return walk.items, walk.notes


def _first_page(
    query: Mapping[str, Any], base: str, box: Box, times: Times, collections: Sequence[str]
) -> tuple[str, Body]:
    """Address and body of a search: a plain request, or posted where the link says so."""
    span = "/".join(f"{when.replace(tzinfo=None).isoformat(timespec='seconds')}Z" for when in times)
    target = urljoin(base, query["href"])
    if _is_posted(query):
        chosen = {"collections": list(collections)} if collections else {}
        return target, {"bbox": [round(value, 6) for value in box], "datetime": span, "limit": PAGE, **chosen}
    words = {"bbox": ",".join(f"{value:.6f}" for value in box), "datetime": span, "limit": str(PAGE)}
    words |= {"collections": ",".join(collections)} if collections else {}
    return f"{target}{'&' if '?' in target else '?'}{urlencode(words, safe=',/:')}", None


def _next_page(link: Mapping[str, Any], body: Body) -> Body:
    """The body of a request for the next page: that of the link, with that of this page where it says `merge`; None for a plain one."""
    if not _is_posted(link):
        return None
    own = link.get("body")
    return {**(body or {} if link.get("merge") is True else {}), **(own if isinstance(own, dict) else {})}


class _Walk:
    """The documents behind a catalogue, level by level; each is read once."""

    def __init__(self, root: str, base: str, session: Session | None, box: Box, times: Times) -> None:
        self.root, self.session, self.box, self.times = root, session, box, times
        self.items, self.notes = list[Item](), Counter[str]()
        self.waiting: deque[tuple[str, Mapping[str, Any], Body]] = deque()
        self.seen = {(base if is_web_address(base) else str(Path(base).resolve()), "null")}

    def read_all(self) -> None:
        """Read what waits, and what that refers to."""
        latest, documents = time.monotonic() + MOST_SEARCH_S, 0
        while self.waiting:
            full = self.session is not None and self.session.is_spent
            if full or time.monotonic() > latest or documents >= MOST_DOCUMENTS or len(self.items) >= MOST_ITEMS:
                self.notes[
                    f"not read to its end after {documents:,} documents and {len(self.items):,} items; give the collection of the event, or "
                    "a smaller box"
                ] += 1
                return
            batch = [self.waiting.popleft() for _ in range(min(AT_ONCE, len(self.waiting)))]
            fetch = partial(_fetch_or_reason, session=self.session)
            answers = in_order(fetch, [(address, body) for address, _, body in batch], workers=len(batch))
            for (_, collection, body), (text, base) in zip(batch, answers, strict=True):
                documents += 1
                content = None if text is None else parse_document(text)  # one at a time: it takes ten times the bytes
                if content is None:
                    self.notes[base if text is None else "a document is no JSON of STAC"] += 1
                else:
                    self.take(content, base, collection, body)

    def take(self, content: Mapping[str, Any], base: str, collection: Mapping[str, Any], body: Body) -> None:
        """Keep the items of a document that answers `body`, and put what it refers to on the list."""
        kind = content.get("type")
        if kind in ("Feature", "FeatureCollection"):
            features = content.get("features") if kind == "FeatureCollection" else [content]
            listed = features if isinstance(features, list) else []
            self.items += [_used(item, base, collection, self.session) for item in listed if isinstance(item, dict)]
            links = _links(content, "next") if kind == "FeatureCollection" and listed else iter(())
        else:
            collection = _keep(content, OF_COLLECTION) if kind == "Collection" else collection
            meets = kind != "Collection" or _may_meet(content.get("extent"), self.box, self.times)
            links = _links(content, "child", "item") if meets else iter(())
        for link in links:
            try:
                target = link_target(base, link["href"], self.root)
                if self.session is not None:
                    self.session.check(target)
            except ITEM_ERRORS:
                self.notes["a link leads outside of the catalogue and was not followed"] += 1
                continue
            self.add(target, collection, _next_page(link, body))

    def add(self, target: str, collection: Mapping[str, Any], body: Body) -> None:
        """Put an address or a path on the list, once for each body."""
        known = (target, json.dumps(body, sort_keys=True))
        if known not in self.seen:
            self.seen.add(known)
            self.waiting.append((target, collection, body))


def link_target(base: str, href: str, root: str, *, asset: bool = False) -> str:
    """The address or path that a document refers to; root : the catalogue, whose folder holds all its files.

    Errors: InputError for ways from an address to a file, and from a file to an address, unless of an `asset`.
    """
    if is_web_address(base):
        target = urljoin(base, href).partition("#")[0]
        if is_web_address(target) or (asset and is_remote(target)):
            return target
        raise InputError(f"it refers to {href}, which is no web address")
    if is_remote(href) and not asset:
        raise InputError(f"it refers to {href}, which is no file")
    if is_remote(href):
        return href
    path = (Path(base).parent / href).resolve()
    check_beside(Path(root), path, "Move it there.")
    return str(path)


def _fetch_or_reason(request: tuple[str, Body], session: Session | None) -> tuple[bytes | None, str]:
    """A document and where it was read; or None and why there is none."""
    try:
        return fetch_document(request[0], session, request[1])
    except InputError as error:
        return None, f"a document could not be read ({failure_text(error.__cause__ or error)})"


def _used(content: Mapping[str, Any], base: str, collection: Mapping[str, Any], session: Session | None) -> Item:
    """An item without what is not used: thousands of them are held."""
    properties, assets = content.get("properties"), content.get("assets")
    kept = _keep(content, ("id", "type"))
    kept["properties"] = _keep(properties, OF_PROPERTIES) if isinstance(properties, dict) else {}
    kept["properties"] |= {key: content[key] for key in OF_ITEM if key in content and key not in kept["properties"]}
    kept["assets"] = {
        name: _keep(asset, OF_ASSET)
        for name, asset in (assets if isinstance(assets, dict) else {}).items()
        if isinstance(asset, dict)
    }
    try:
        area = footprint(content)
    except ITEM_ERRORS as error:
        area = error
    return Item(kept, base, collection, area, session)


def _keep(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key in names or key.startswith(EXTENSIONS)}


def _links(content: Mapping[str, Any], *relations: str) -> Iterator[Mapping[str, Any]]:
    """The links of some relations that lead somewhere."""
    listed = content.get("links")
    links = [link for link in listed if isinstance(link, dict)] if isinstance(listed, list) else []
    for relation in relations:
        yield from (link for link in links if link.get("rel") == relation and isinstance(link.get("href"), str))


def _is_posted(link: Mapping[str, Any]) -> bool:
    return str(link.get("method", "")).upper() == "POST"


def _may_meet(extent: Any, box: Box, times: Times) -> bool:
    """Whether a collection's extent meets the box and the time; True where it cannot be understood."""
    near = then = True
    with suppress(*ITEM_ERRORS):
        boxes = [(box[0], box[1], *box[len(box) // 2 :][:2]) for box in extent["spatial"]["bbox"]]
        near = any(
            w > e or not (w > box[2] or box[0] > e or s > box[3] or box[1] > n) for w, s, e, n in boxes
        )  # also with NaN
    with suppress(*ITEM_ERRORS):
        spans = [(parse_time(first), parse_time(last)) for first, last in extent["temporal"]["interval"]]
        then = any((a is None or a <= times[1]) and (b is None or b >= times[0]) for a, b in spans)
    return near and then
