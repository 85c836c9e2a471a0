"""The table that turns OpenStreetMap tags into raster classes: bands, line widths and drawing order of the classes.

Takes a YAML file of the form of `osm_rules.yaml` next to this module, and tables of features with one column per tag.

Refuses tables that name unknown classes or keys, or invalid widths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.errors import InputError, Reading
from deepnets4eo.files import parse_yaml, read_yaml
from deepnets4eo.osm.elements import ElementTags, closed_ways, makes_area, tag_values

if TYPE_CHECKING:
    import pandas as pd

ANY = "*"  # any value but "no"
WIDTHS_M = (0.1, 200.0)  # beyond this a stated width is a typing error


class ClassMembers(NamedTuple):
    """Features of a class, and their drawing widths.

    member : (N,) whether each feature belongs to the class
    line_m, point_m : (N,) widths in metres, NaN for features that are not drawn
    outline : (N,) areas that are closed ways of line features, such as a road around a block: drawn along their outline
    """

    member: Mask
    line_m: Floats
    point_m: Floats
    outline: Mask


@dataclass(frozen=True)
class OsmRule:
    """Features whose tag `key` has one of the values, and how wide they are drawn."""

    key: str
    values: tuple[str, ...]
    line_m: float = np.nan
    point_m: float = np.nan

    def match(self, table: pd.DataFrame) -> Mask:
        """Return (N,) bool, features with one of its values."""
        return _tagged(table, self.key, self.values)


@dataclass(frozen=True)
class OsmClass:
    """One band: its rules, and the widths of features of this class that have no known tags."""

    name: str
    rules: tuple[OsmRule, ...]
    line_m: float = np.nan
    point_m: float = np.nan


@dataclass(frozen=True)
class OsmRules:
    """Tags that make a class, drawing widths of its lines and points, and the classes that cover others.

    Parameters
    ----------
    classes : the classes, in the order of the bands
    priority : names of classes that cover others, the topmost last
    width_keys : tags that state a width in metres
    hidden : tags with the values of features that are not drawn

    >>> OsmRules.load().names
    ['roads', 'buildings', 'vegetation', 'water']
    """

    classes: tuple[OsmClass, ...]
    priority: tuple[str, ...] = ()
    width_keys: tuple[str, ...] = ()
    hidden: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    @Reading.of_source("Is it the right file? Correct it, or write it again.")
    def load(cls, path: str | Path | None = None) -> OsmRules:
        """Read a table; None reads the one that comes with the package. Errors: InputError names file and entry."""
        if path is None:
            beside = files("deepnets4eo.osm").joinpath("osm_rules.yaml")
            return cls.from_dict(parse_yaml(beside.read_text(encoding="utf-8"), beside.name), beside.name)
        return cls.from_dict(read_yaml(path), str(path))

    @classmethod
    def from_dict(cls, table: Any, name: str = "the OSM rules") -> OsmRules:
        """Return the table that plain values describe. Errors: InputError."""
        _known_keys(table, {"classes", "priority", "width_keys", "hidden"}, name)
        described = table.get("classes")
        if not isinstance(described, Mapping) or not described:
            raise InputError(f"{name} describes no class. Expected classes: {{roads: {{rules: […]}}, …}}.")
        classes = tuple(_class_from(str(key), value, name) for key, value in described.items())
        priority, width_keys = (_values(table.get(key) or (), f"{name}, {key}") for key in ("priority", "width_keys"))
        if strange := sorted(set(priority) - set(described)):
            raise InputError(f"{name}: priority names {strange}, but the classes are {sorted(described)}.")
        hidden = table.get("hidden") or {}
        if not isinstance(hidden, Mapping):
            raise InputError(f"{name}: hidden is {hidden!r}, expected {{tag: values}}.")
        return cls(
            classes, priority, width_keys, tuple((str(key), _values(value, name)) for key, value in hidden.items())
        )

    @property
    def names(self) -> list[str]:
        """Classes, in the order of the bands."""
        return [osm_class.name for osm_class in self.classes]

    @property
    def class_keys(self) -> list[str]:
        """Tags that decide on a class."""
        return list(dict.fromkeys(rule.key for osm_class in self.classes for rule in osm_class.rules))

    @property
    def keys(self) -> list[str]:
        """Every tag that the table uses."""
        return list(dict.fromkeys([*self.class_keys, *self.width_keys, *(key for key, _ in self.hidden), "area"]))

    def match(self, table: pd.DataFrame, known_class: str | None = None) -> dict[str, ClassMembers]:
        """Sort features into classes; a feature may belong to several.

        table : one column per tag, as `spread_tags` makes it. known_class : the common class of all features, if known.
        """
        drawn = np.ones(len(table), bool)
        for key, values in self.hidden:
            drawn &= ~_tagged(table, key, values)
        stated_m, ways = _stated_widths(table, self.width_keys), closed_ways(table)
        return {
            osm_class.name: _match_class(
                osm_class, table, drawn, stated_m, ways, known_class=known_class == osm_class.name
            )
            for osm_class in self.classes
            if known_class in (None, osm_class.name)
        }

    def spread_tags(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the table with tags that GDAL put into one text column spread over columns, only the tags that the rules use."""
        if ElementTags.text not in table.columns:
            return table
        absent = [key for key in self.keys if key not in table.columns]
        return table.assign(**{key: tag_values(table, key) for key in absent})


def _match_class(
    each: OsmClass, table: pd.DataFrame, drawn: Mask, stated_m: Floats, ways: Mask,
    *, known_class: bool,
) -> ClassMembers:  # fmt: skip
    member, lines, areas = np.full(len(table), known_class), np.zeros(len(table), bool), np.zeros(len(table), bool)
    line_m = np.full(len(table), each.line_m if known_class else np.nan)
    point_m = np.full(len(table), each.point_m if known_class else np.nan)
    for rule in reversed(each.rules):  # the first rule that matches a feature decides
        matches = rule.match(table)
        member |= matches
        of_area = makes_area(table, rule.key)
        lines, areas = lines | (matches & ~of_area), areas | (matches & of_area)
        line_m[matches], point_m[matches] = rule.line_m, rule.point_m
    line_m = np.where(np.isfinite(stated_m) & np.isfinite(line_m), stated_m, line_m)
    return ClassMembers(member & drawn, line_m, point_m, ways & lines & ~areas)


def _tagged(table: pd.DataFrame, key: str, values: Sequence[str]) -> Mask:
    if key not in table.columns:
        return np.zeros(len(table), bool)
    column = table[key]
    if ANY in values:
        text = column.astype("string").str.strip().fillna("")
        return (~text.isin(ElementTags.absent)).to_numpy(bool)
    return column.isin(list(values)).to_numpy(bool)


def _stated_widths(table: pd.DataFrame, keys: Sequence[str]) -> Floats:
    """Return widths in metres that the features state themselves, NaN if a feature states none: "6.5", "6,5 m", 6.5."""
    import pandas as pd

    stated = np.full(len(table), np.nan)
    for key in keys:
        if key in table.columns:
            text = table[key].astype("string").str.extract(r"^\s*(\d+(?:[.,]\d+)?)\s*m?\s*$", expand=False)
            number = pd.to_numeric(text.str.replace(",", "."), errors="coerce").to_numpy(float, na_value=np.nan)
            sound = (number >= WIDTHS_M[0]) & (number <= WIDTHS_M[1])
            stated = np.where(np.isnan(stated) & sound, number, stated)
    return stated


def _class_from(name: str, described: Any, table: str) -> OsmClass:
    where = f"{table}, class {name!r}"
    _known_keys(described, {"rules", "line_m", "point_m"}, where)
    rules, listed = [], described.get("rules") or ()
    if not isinstance(listed, (list, tuple)):
        raise InputError(f"{where}: rules are {listed!r}, expected a list of {{key: …, values: …}}.")
    for rule in listed:
        _known_keys(rule, {"key", "values", "line_m", "point_m"}, where)
        if "key" not in rule or "values" not in rule:
            raise InputError(f'{where} has the rule {dict(rule)}. Expected a key and values, or values: "*" for any.')
        rules.append(OsmRule(str(rule["key"]), _values(rule["values"], where), **_widths(rule, where)))
    return OsmClass(name, tuple(rules), **_widths(described, where))


def _widths(described: Mapping[str, Any], where: str) -> dict[str, float]:
    widths = {}
    for name in ("line_m", "point_m"):
        if name in described:
            width = described[name]
            if isinstance(width, bool) or not isinstance(width, (int, float)) or not width > 0:
                raise InputError(f"{where}: {name} is {width!r}, expected metres above 0.")
            widths[name] = float(width)
    return widths


def _values(values: Any, where: str) -> tuple[str, ...]:
    listed = [values] if isinstance(values, str) else values
    if not isinstance(listed, Sequence) or not all(isinstance(value, str) for value in listed):
        raise InputError(f'{where}: values are {values!r}, expected words (put yes and no in quotes), or "*" for any.')
    return tuple(listed)


def _known_keys(described: Any, known: set[str], where: str) -> None:
    if not isinstance(described, Mapping):
        raise InputError(f"{where}: got {described!r}, expected entries such as {', '.join(sorted(known))}.")
    if strange := sorted(map(str, described.keys() - known)):
        raise InputError(f"{where} has the entries {strange}, expected some of {', '.join(sorted(known))}.")
