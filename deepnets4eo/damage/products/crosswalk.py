"""Grades of a map in the words of others, and whether its buildings have a position on the earth."""

from __future__ import annotations

from typing import Any, NamedTuple

import pyproj

from deepnets4eo.damage.table.vocabulary import CLASSES, QUARTERS


class Names(NamedTuple):
    """The names that others use for one of our classes. unosat : code and text; None: there is no such record."""

    xbd: str
    ems98: str
    cems: str
    unosat: tuple[int, str] | None
    osm: str | None


CROSSWALK = dict(
    zip(
        CLASSES,
        (
            Names("no-damage", "0–2", "No visible damage", (6, "No visible damage"), "none"),
            Names("minor-damage", "2–3", "Possibly damaged", (4, "Possible damage"), "minimal"),
            Names("major-damage", "3–4", "Damaged", (2, "Severe damage"), "significant"),
            Names("destroyed", "4–5", "Destroyed", (1, "Destroyed"), "complete"),
            *(Names("un-classified", "", "Not Analysed", None, None) for _ in QUARTERS),
            Names("un-classified", "", "Not Analysed", None, None),
        ),
        strict=True,
    )
)


def has_position(crs: Any) -> bool:
    """Return whether a CRS has longitude and latitude, unlike plain pixels and local engineering CRSs."""
    if crs is None:
        return False
    try:
        pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    except pyproj.exceptions.ProjError:
        return False
    return True
