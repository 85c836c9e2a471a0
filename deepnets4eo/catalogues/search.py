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
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlencode, urljoin

from deepnets4eo.catalogues.stac_footprints import footprint
from deepnets4eo.degree_boxes import Box, box_parts
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
from deepnets4eo.prefetch import in_order

MAX_DOCUMENTS, MAX_ITEMS, MAX_SEARCH_S = 3_000, 10_000, 900  # of one catalogue
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
    "vn:catalog_id",
    "mx:catalog_id",
    "gsd",
    "pan_gsd",
    "license",
    "providers",
    "bands",
    "tile:clouds_percent",
)
OF_ASSET = ("href", "type", "roles", "alternate", "bands", "raster:bands", "data_type", "gsd", "license", "providers")
OF_BOTH = ("proj:code", "proj:epsg", "proj:wkt2", "proj:projjson", "proj:transform", "proj:shape", "proj:bbox")
EXTENSIONS = ("eo:", "view:", "sar:")
MAX_KEPT_VALUES = 2_000  # values of one item
MAX_KEPT_VALUES_OF_SEARCH = 4_000_000  # values of all its items
MAX_NAMES = 100  # keys of one mapping, such as assets or the names of an extension
MAX_LISTED, MAX_DEPTH = 16, 6  # entries of a list, which are its first; mappings and lists within each other
MAX_CHARACTERS = 8_000  # of one text; signed addresses have up to some thousand
MAX_BODY_BYTES = 16 << 10  # of what is posted for a further page

Times = tuple[datetime, datetime]
Body: TypeAlias = Mapping[str, Any] | None  # what is posted as JSON; None for a plain request


class Item(NamedTuple):
    """The used parts of an item, its base address, its collection (empty if none), its area or why it has none, and its session."""

    content: Mapping[str, Any]
    base: str
    collection: Mapping[str, Any]
    area: Any
    session: Session | None


def read_items(
    catalogue: str, box: Box, times: Times, collections: Sequence[str] = ()
) -> tuple[list[Item], Counter[str]]:
    """Return the items of a catalogue whose collections meet a box and a time, and counts of what was not read by reason.

    catalogue : catalogue, collection, list of items, or root of a STAC API; times : first and last; collections : of an API, all by
    default. Raises InputError."""
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
        for part in box_parts(box):  # few servers know a box across 180°
            start, body = _first_page(query, base, part, times, collections)
            walk.add(start, walk.collection_of(content, {}), body)
    walk.read_all()
    if query is not None and not walk.items and walk.notes:
        raise InputError(f"{catalogue} did not answer its search: {', '.join(walk.notes)}. Check it, and the network.")
    return walk.items, walk.notes


def _first_page(
    query: Mapping[str, Any], base: str, box: Box, times: Times, collections: Sequence[str]
) -> tuple[str, Body]:
    """Return the address and body of a search: a plain request, or a posted request if the link demands it."""
    span = "/".join(f"{when.replace(tzinfo=None).isoformat(timespec='seconds')}Z" for when in times)
    target = urljoin(base, query["href"])
    if _is_posted(query):
        chosen = {"collections": list(collections)} if collections else {}
        return target, {"bbox": [round(value, 6) for value in box], "datetime": span, "limit": PAGE, **chosen}
    words = {"bbox": ",".join(f"{value:.6f}" for value in box), "datetime": span, "limit": str(PAGE)}
    words |= {"collections": ",".join(collections)} if collections else {}
    return f"{target}{'&' if '?' in target else '?'}{urlencode(words, safe=',/:')}", None


def _next_page(link: Mapping[str, Any], body: Body) -> Body:
    """Return the body of a request for the next page: the body of the link, merged with this page's if it states `merge`.

    The body is None for a plain request."""
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
        self.answered = set[str]()  # of a box in two parts: the items that both may show
        self.seen = {(base if is_web_address(base) else str(Path(base).resolve()), "null")}
        self.kept, self.is_cut = (
            0,
            False,
        )  # values of its items; whether addresses were left out, as none of them could be read

    def read_all(self) -> None:
        """Read what waits, and what that refers to."""
        latest, documents = time.monotonic() + MAX_SEARCH_S, 0
        while self.waiting:
            if self._is_full() or time.monotonic() > latest or documents >= MAX_DOCUMENTS:
                self.is_cut = True
                break
            batch = [self.waiting.popleft() for _ in range(min(AT_ONCE, len(self.waiting)))]
            fetch = partial(_fetch_or_reason, session=self.session)
            answers = in_order(fetch, [(address, body) for address, _, body in batch], workers=len(batch))
            for (_, collection, body), (text, base) in zip(batch, answers, strict=True):
                documents += 1
                content = None if text is None else parse_document(text)  # one at a time: it takes ten times the bytes
                if text is None:
                    self.notes[base] += 1
                elif content is None or not self._took(content, base, collection, body):
                    self.notes["a document is no JSON of STAC"] += 1
        if self.is_cut:
            self.notes[
                f"not read to its end after {documents:,} documents and {len(self.items):,} items; give the collection of the event, or "
                "a smaller box"
            ] += 1

    def _is_known(self, item: Item) -> bool:
        """Return whether the search of the other part of the box has returned the item, too."""
        if len(box_parts(self.box)) == 1:
            return False
        text = json.dumps([item.content, item.collection], sort_keys=True, default=str)
        if text in self.answered:
            return True
        self.answered.add(text)
        return False

    def _is_full(self) -> bool:
        """Return whether the limit on what may be read or kept has been reached."""
        spent = self.session is not None and self.session.is_spent
        return spent or len(self.items) >= MAX_ITEMS or self.kept >= MAX_KEPT_VALUES_OF_SEARCH

    def _took(self, content: Mapping[str, Any], base: str, collection: Mapping[str, Any], body: Body) -> bool:
        """Take a document; return False if it has values that no document has, which end no search."""
        try:
            self.take(content, base, collection, body)
        except (*ITEM_ERRORS, MemoryError):
            return False
        return True

    def take(self, content: Mapping[str, Any], base: str, collection: Mapping[str, Any], body: Body) -> None:
        """Keep the items of a document that answers `body`, and put what it refers to on the list."""
        kind = content.get("type")
        if kind in ("Feature", "FeatureCollection"):
            features = content.get("features") if kind == "FeatureCollection" else [content]
            listed = features if isinstance(features, list) else []
            for item in (item for item in listed if isinstance(item, dict)):
                if self._is_full():
                    self.is_cut = True
                    break
                used, count = _used(item, base, collection, self.session)
                if self._is_known(used):
                    continue
                self.items.append(used)
                self.kept += count
            links = _links(content, "next") if kind == "FeatureCollection" and listed else iter(())
        else:
            collection = self.collection_of(content, collection)
            meets = kind != "Collection" or _may_meet(content.get("extent"), self.box, self.times)
            links = _links(content, "child", "item") if meets else iter(())
        for link in links:
            if len(self.seen) > MAX_DOCUMENTS:
                self.is_cut = True
                return
            try:
                target = link_target(base, link["href"], self.root)
                if len(target) > MAX_CHARACTERS:
                    raise InputError(f"it refers to an address of {len(target):,} characters")
                if self.session is not None:
                    self.session.check(target)
            except ITEM_ERRORS:
                self.notes["a link leads outside of the catalogue and was not followed"] += 1
                continue
            further = _next_page(link, body)
            if len(json.dumps(further)) > MAX_BODY_BYTES:
                self.notes[f"a link asks to post more than {MAX_BODY_BYTES:,} bytes and was not followed"] += 1
                continue
            self.add(target, collection, further)

    def collection_of(self, content: Mapping[str, Any], otherwise: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what is used of a collection, and for any other document what is used of the one above it."""
        if content.get("type") != "Collection":
            return otherwise
        kept = _Kept()
        used = kept.select(content, OF_COLLECTION)
        self.kept += kept.count
        return used

    def add(self, target: str, collection: Mapping[str, Any], body: Body) -> None:
        """Put an address or a path on the list, once for each body."""
        known = (target, json.dumps(body, sort_keys=True))
        if known not in self.seen:
            self.seen.add(known)
            self.waiting.append((target, collection, body))


def link_target(base: str, href: str, root: str, *, asset: bool = False) -> str:
    """Return the address or path that a document refers to; root : the catalogue, whose folder contains all its files.

    Raises InputError for references from an address to a file, and from a file to an address, unless it is an `asset`.
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
    """Return a document and its location; or None and the reason why it could not be read."""
    try:
        return fetch_document(request[0], session, request[1])
    except InputError as error:
        return None, f"a document could not be read ({failure_text(error.__cause__ or error)})"


def _used(
    content: Mapping[str, Any], base: str, collection: Mapping[str, Any], session: Session | None
) -> tuple[Item, int]:
    """Return an item without its unused values, because thousands of items are kept, and the number of values kept."""
    properties, assets = content.get("properties"), content.get("assets")
    kept = _Kept()
    used = kept.select(content, ("id", "type"))
    used["properties"] = kept.select(properties, OF_PROPERTIES) if isinstance(properties, dict) else {}
    used["properties"] = (
        kept.select({key: content[key] for key in OF_ITEM if key in content}, OF_ITEM) | used["properties"]
    )
    used["assets"] = {
        name: kept.select(asset, OF_ASSET)
        for name, asset in islice((assets if isinstance(assets, dict) else {}).items(), MAX_NAMES)
        if isinstance(asset, dict) and len(name) <= MAX_CHARACTERS
    }
    try:
        area = footprint(content)
    except ITEM_ERRORS as error:
        area = error
    return Item(used, base, collection, area, session), kept.count


class _Kept:
    """Copies of the values of one item that are small enough to be kept: scalars, short lists and small mappings."""

    def __init__(self) -> None:
        self.count = 0

    def select(self, values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        """Return the values of these names and of the extensions; values that are too large count as not stated."""
        kept = dict[str, Any]()
        wanted = (key for key in values if key in (*names, *OF_BOTH) or key.startswith(EXTENSIONS))
        for key in islice(wanted, MAX_NAMES):
            small = self._small(values[key])
            if small is not None and len(key) <= MAX_CHARACTERS:
                kept[key] = small
            elif values[key] is None or key.startswith("sar:"):  # a projection of null means that there is none
                kept[key] = None
        return kept

    def _small(self, value: Any, depth: int = 0) -> Any:
        """Return a copy with the first entries of lists; None for what is too long or too deep, or beyond the item's limit."""
        self.count += 1
        if self.count > MAX_KEPT_VALUES or depth > MAX_DEPTH:
            return None
        if isinstance(value, str):
            return value if len(value) <= MAX_CHARACTERS else None
        if isinstance(value, list):
            return [self._small(entry, depth + 1) for entry in value[:MAX_LISTED]]
        if isinstance(value, dict):
            if len(value) > MAX_NAMES or max(map(len, value), default=0) > MAX_CHARACTERS:
                return None
            return {key: self._small(entry, depth + 1) for key, entry in value.items()}
        return value


def _links(content: Mapping[str, Any], *relations: str) -> Iterator[Mapping[str, Any]]:
    """Yield the links of some relations that lead somewhere."""
    listed = content.get("links")
    links = [link for link in listed if isinstance(link, dict)] if isinstance(listed, list) else []
    for relation in relations:
        yield from (link for link in links if link.get("rel") == relation and isinstance(link.get("href"), str))


def _is_posted(link: Mapping[str, Any]) -> bool:
    return str(link.get("method", "")).upper() == "POST"


def _may_meet(extent: Any, box: Box, times: Times) -> bool:
    """Return whether a collection's extent meets the box and the time; True if the extent cannot be understood."""
    near = then = True
    with suppress(*ITEM_ERRORS):
        boxes = [(box[0], box[1], *box[len(box) // 2 :][:2]) for box in extent["spatial"]["bbox"]]
        near = any(
            w > e or not (w > part[2] or part[0] > e or s > part[3] or part[1] > n)  # also with NaN
            for w, s, e, n in boxes
            for part in box_parts(box)
        )
    with suppress(*ITEM_ERRORS):
        spans = [(parse_time(first), parse_time(last)) for first, last in extent["temporal"]["interval"]]
        then = any((a is None or a <= times[1]) and (b is None or b >= times[0]) for a, b in spans)
    return near and then
