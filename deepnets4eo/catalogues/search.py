"""Items of a STAC catalogue that may show a box: a static catalogue by address or path, or the search of a STAC API.

Follows links within limits of documents and time. What cannot be read within a catalogue is noted.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urljoin

from deepnets4eo.errors import InputError
from deepnets4eo.formats.access import check_beside, check_exist, check_online, is_remote
from deepnets4eo.formats.stac_items import is_web_address, read_document
from deepnets4eo.grid import Box
from deepnets4eo.outputs.event import iso_time
from deepnets4eo.prefetch import in_order

MOST_DOCUMENTS, MOST_ITEMS, MOST_SEARCH_S = 3_000, 10_000, 900  # of one catalogue
AT_ONCE = 8  # documents
PAGE = 100  # items of an answer

Times = tuple[datetime, datetime]


class Item(NamedTuple):
    """An item, where it was read, and the collection that it belongs to (empty without one)."""

    content: Mapping[str, Any]
    base: str
    collection: Mapping[str, Any]


def read_items(catalogue: str, box: Box, times: Times) -> tuple[list[Item], Counter[str]]:
    """The items of a catalogue whose collections meet a box and a time, and counts of what was not read by reason.

    catalogue : catalogue, collection, list of items, or root of a STAC API; times : first and last. Errors: InputError."""
    if is_web_address(catalogue):
        check_online(f"the catalogue {catalogue}")
    check_exist([catalogue])
    content, base = read_document(catalogue)
    if content is None or not ("stac_version" in content or content.get("type") == "FeatureCollection"):
        raise InputError(
            f"{catalogue} is no STAC catalogue (JSON with stac_version). Give its catalog.json, or its API."
        )
    walk = _Walk(catalogue, base, box, times)
    query = next(_links(content, "search", "items"), None)
    if query is None or not is_web_address(base):
        walk.take(content, base, {})
    else:
        span = "/".join(f"{when:%Y-%m-%dT%H:%M:%SZ}" for when in times)
        words = {"bbox": ",".join(f"{value:.6f}" for value in box), "datetime": span, "limit": PAGE}
        start = f"{urljoin(base, query)}{'&' if '?' in query else '?'}{urlencode(words, safe=',/:')}"
        walk.add(start, content if content.get("type") == "Collection" else {})
    walk.read_all()
    if query is not None and not walk.items and walk.notes:
        raise InputError(f"{catalogue} did not answer its search: {', '.join(walk.notes)}. Check it, and the network.")
    return walk.items, walk.notes


class _Walk:
    """The documents behind a catalogue, level by level; each is read once."""

    def __init__(self, root: str, base: str, box: Box, times: Times) -> None:
        self.root, self.box, self.times = root, box, times
        self.items, self.notes = list[Item](), Counter[str]()
        self.waiting: deque[tuple[str, Mapping[str, Any]]] = deque()
        self.seen = {base if is_web_address(base) else str(Path(base).resolve())}

    def read_all(self) -> None:
        """Read what waits, and what that refers to."""
        latest, documents = time.monotonic() + MOST_SEARCH_S, 0
        while self.waiting:
            if time.monotonic() > latest or documents >= MOST_DOCUMENTS or len(self.items) >= MOST_ITEMS:
                self.notes[
                    f"not read to its end after {documents:,} documents and {len(self.items):,} items; give the collection of the event, or "
                    "a smaller box"
                ] += 1
                return
            batch = [self.waiting.popleft() for _ in range(min(AT_ONCE, len(self.waiting)))]
            answers = in_order(_read_or_reason, [address for address, _ in batch], workers=len(batch))
            for (_, collection), (content, base) in zip(batch, answers, strict=True):
                documents += 1
                if content is None:
                    self.notes[base] += 1
                else:
                    self.take(content, base, collection)

    def take(self, content: Mapping[str, Any], base: str, collection: Mapping[str, Any]) -> None:
        """Keep the items of a document, and put what it refers to on the list."""
        kind = content.get("type")
        if kind in ("Feature", "FeatureCollection"):
            features = content.get("features") if kind == "FeatureCollection" else [content]
            listed = features if isinstance(features, list) else []
            self.items += [Item(one, base, collection) for one in listed if isinstance(one, dict)]
            links = _links(content, "next") if kind == "FeatureCollection" and listed else iter(())
        else:
            collection = content if kind == "Collection" else collection
            meets = kind != "Collection" or _may_meet(content.get("extent"), self.box, self.times)
            links = _links(content, "child", "item") if meets else iter(())
        for href in links:
            try:
                target = link_target(base, href, self.root)
            except (InputError, ValueError, OSError):
                self.notes["a link leads outside of the catalogue and was not followed"] += 1
                continue
            self.add(target, collection)

    def add(self, target: str, collection: Mapping[str, Any]) -> None:
        """Put an address or a path on the list, once."""
        if target not in self.seen:
            self.seen.add(target)
            self.waiting.append((target, collection))


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


def _read_or_reason(address: str) -> tuple[Mapping[str, Any] | None, str]:
    """A document and where it was read; or None and why there is none."""
    try:
        content, base = read_document(address)
    except InputError as error:
        return None, f"a document could not be read ({error.__cause__})"
    return (None, "a document is no JSON of STAC") if content is None else (content, base)


def _links(content: Mapping[str, Any], *relations: str) -> Iterator[str]:
    listed = content.get("links")
    links = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    for relation in relations:
        yield from (one["href"] for one in links if one.get("rel") == relation and isinstance(one.get("href"), str))


def _may_meet(extent: Any, box: Box, times: Times) -> bool:
    """Whether a collection's extent meets the box and the time; True where it cannot be understood."""
    near = then = True
    with suppress(TypeError, KeyError, IndexError, ValueError):
        boxes = [(one[0], one[1], *one[len(one) // 2 :][:2]) for one in extent["spatial"]["bbox"]]
        near = any(w > e or (w <= box[2] and box[0] <= e and s <= box[3] and box[1] <= n) for w, s, e, n in boxes)
    with suppress(TypeError, KeyError, IndexError, ValueError):
        spans = [(parse_time(first), parse_time(last)) for first, last in extent["temporal"]["interval"]]
        then = any((a is None or a <= times[1]) and (b is None or b >= times[0]) for a, b in spans)
    return near and then


def parse_time(text: Any) -> datetime | None:
    """Return the time of RFC 3339 text, UTC where it names no zone; None for anything else.

    >>> parse_time("2023-02-06T01:17:34.342Z")
    datetime.datetime(2023, 2, 6, 1, 17, 34, tzinfo=datetime.timezone.utc)
    """
    when = iso_time(str(text).strip().partition(".")[0])
    return when if when is None or when.tzinfo else when.replace(tzinfo=timezone.utc)
