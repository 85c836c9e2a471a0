"""Open catalogues by name (datasets/catalogues.yaml), and places by name: what `find` needs no address for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlencode

from deepnets4eo.cards import catalogues_path
from deepnets4eo.catalogues.search import Item, Times, read_items
from deepnets4eo.degree_boxes import Box, box_text, box_width, check_box
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_yaml
from deepnets4eo.formats import Session, WebRequest, check_online, failure_text
from deepnets4eo.options import Section, options_from
from deepnets4eo.prefetch import in_order

GEOCODER = "https://nominatim.openstreetmap.org/search"  # of OpenStreetMap, one question a run
WIDEST_DEG = 1.0  # of a place

Answers: TypeAlias = dict[str, tuple[list[Item], Counter[str]]]


class KnownCatalogue(Section):
    """A catalogue of the card: its root, its licence, whether it is read by default, and for an API the collections to search."""

    title: str
    address: str
    licence: str
    default: bool = False
    collections: tuple[str, ...] = ()
    note: str = ""


@cache
def known_catalogues() -> Mapping[str, KnownCatalogue]:
    """Name → catalogue, as the card lists them."""
    card = catalogues_path()
    return {name: options_from(KnownCatalogue, values, f"{card}: {name}") for name, values in read_yaml(card).items()}


def answers_of(catalogues: Sequence[str], box: Box, times: Times) -> tuple[Answers, dict[str, str]]:
    """Return the items of each catalogue by its address or path; and, if none is named, why some of the card cannot be read.

    catalogues : addresses, paths, or names of the card; none: the card's own choice. Raises InputError for a named catalogue
    that cannot be read, and if none of the card can be."""
    known = known_catalogues()
    if catalogues:
        chosen = [known.get(name) if not Path(name).exists() else None for name in catalogues]
        requested = [
            (catalogue.address, catalogue.collections) if catalogue else (name, ())
            for name, catalogue in zip(catalogues, chosen, strict=True)
        ]
        return {name: read_items(name, box, times, collections) for name, collections in requested}, {}
    usual = {name: catalogue for name, catalogue in known.items() if catalogue.default}
    check_online(f"the catalogues {', '.join(usual)}")

    def read(one: KnownCatalogue) -> tuple[list[Item], Counter[str]] | InputError:
        try:
            return read_items(one.address, box, times, one.collections)
        except InputError as error:
            return error

    answers, silent = Answers(), dict[str, str]()
    for (name, catalogue), answer in zip(
        usual.items(), in_order(read, usual.values(), workers=len(usual)), strict=True
    ):
        if isinstance(answer, InputError):
            silent[name] = str(answer)
        else:
            answers[catalogue.address] = answer
    if not answers:
        why = next(iter(silent.values()))
        raise InputError(
            f"none of the open catalogues {', '.join(usual)} answers ({why}) Without a network, give a copy: --catalogue FILE."
        )
    return answers, silent


def place_box(name: str) -> tuple[Box, str]:
    """Return the box of a place by its name in OpenStreetMap, and a description. Raises InputError if it cannot be looked up."""
    check_online(f"the place {name!r}")
    address = f"{GEOCODER}?{urlencode({'q': name, 'format': 'jsonv2', 'limit': 1})}"
    remedy = "Give a vector file of the place, or --bbox W S E N."
    try:
        listed = json.loads(Session(GEOCODER).read(address).content)
    except WebRequest.errors as error:
        raise InputError(
            f"--place {name!r} is no file, and could not be looked up ({failure_text(error)}): is there a network? {remedy}"
        ) from error
    answer: Any = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    try:
        south, north, west, east = map(float, answer["boundingbox"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"--place {name!r} is no file, and OpenStreetMap knows no such place. {remedy}") from error
    box = check_box((west, south, east, north))
    if max(box_width(box), north - south) > WIDEST_DEG:
        raise InputError(
            f"--place {name!r} reaches over {box_text(box)}, more than {WIDEST_DEG:g} degree. Name a smaller place, or give --bbox W S E N."
        )
    return box, str(answer.get("display_name") or name)
