"""report.html of a change map: the page that all maps share, with polygons of change as its objects and the scores as an overlay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from deepnets4eo.addresses import file_name_of
from deepnets4eo.change.areas import area_text, to_hectares
from deepnets4eo.change.classical.detector import DateLayers
from deepnets4eo.grid import Grid
from deepnets4eo.outputs import EventInfo, Finding
from deepnets4eo.outputs.map_page import MapKind, Payload, share_codes, write_map_page
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.tiling import Packed

if TYPE_CHECKING:
    import geopandas as gpd

MAX_LISTED = 50_000  # polygons, the largest ones
THINNED_PX = 0.75  # outlines follow pixels; stairs as high as this become lines
COLOURS = (
    (230, 60, 40),
    (240, 160, 20),
    (30, 130, 220),
    (30, 160, 110),
    (200, 100, 170),
    (110, 190, 240),
    (235, 220, 70),
)
OTHER = (150, 150, 150)
SUBJECT = "Change map"  # of titles
CHANGE = MapKind(
    title=SUBJECT, subject=SUBJECT, one="polygon", many="polygons", file="change", made_up="This place and what changed there are made up.",
    empty="No region of the minimum size or larger changed beyond the threshold. Smaller changes, and those whose pixels look alike at both dates, are not "
    "listed: an empty list is no proof that nothing changed. Lay the scores over the images, or try a lower threshold.",
    package="deepnets4eo.change", scripts=("classes.js", "summary.js"), styles=("columns.css",),
)  # fmt: skip
CAVEATS = (
    "Images are averaged down where the page holds no detail; change.tif, score.tif and change.gpkg hold the full resolution.",
    "Scores of methods without training rank pixels; they are no calibrated probabilities.",
    "The interval of the changed area comes from drawing blocks of the scene at random many times; it says nothing about errors of the map.",
)


@dataclass(frozen=True)
class RegionPage:
    """Content of the page of a map of regions, in addition to its figures.

    Attributes
    ----------
    kind : titles, names and scripts
    noun, score : name of what a region shows, and name of its score
    headline : the result, and the whole that it is a part of
    facts, caveats : what was measured, and what to beware of
    classes : key, title, colour, count and area_ha of each class
    numbers : (N,) int, the class of each polygon
    images : "pre" and "post", or only "post" → image
    """

    kind: MapKind
    noun: str
    score: str
    headline: tuple[str, str]
    facts: list[tuple[str, str]]
    caveats: tuple[str, ...]
    classes: list[dict[str, Any]]
    numbers: np.ndarray
    images: dict[str, Layer]

    def write(
        self,
        path: str | Path,
        score: Layer,
        polygons: gpd.GeoDataFrame,
        summary: dict[str, Any],
        event: EventInfo,
        findings: Sequence[Finding],
    ) -> Path:
        """Write the page of a map of regions, about 14 MB at most. Memory: the listed polygons and one averaged image at a time.

        Parameters
        ----------
        path : the HTML file
        score : of every pixel, in bytes, to lay over the images; its grid is the grid of the page
        polygons : with the columns `id`, `area_m2` and `score`, the largest first
        summary : with `synthetic`, `area`, `registration`, `findings` and the sources of the images by their roles
        event : what the map is of
        findings : what limits the use of the map, worst first

        Returns
        -------
        Path
            The file.
        """
        listed, grid = polygons.head(MAX_LISTED), score.grid
        payload = _encode(listed, self.numbers[: len(listed)], grid)
        left_out = f"The page holds the {MAX_LISTED:,} largest of {len(polygons):,} polygons; all are in {self.kind.file}.gpkg."
        content = {
            "summary": {
                name: summary[name] for name in ("synthetic", "area", "registration", "findings")
            },  # no folders
            "noun": self.noun,
            "score": self.score,
            "headline": self.headline,
            "caveats": self.caveats,
            "facts": self.facts,
            "classes": self.classes,
            "left_out": left_out if len(polygons) > len(listed) else "",
            "extent": [],
            "without_outlines": [],
        }
        return write_map_page(
            path, self.kind, content, payload, self.images, grid,
            (listed.geometry.to_numpy(), listed["score"].to_numpy(float)), [(self.kind.file, score, 1 / Packed.one)],
            event=event, findings=findings, inputs={name: summary[name] for name in self.images},
        )  # fmt: skip


def write_page(
    path: str | Path,
    scene: Scene,
    score: Layer,
    polygons: gpd.GeoDataFrame,
    summary: dict[str, Any],
    event: EventInfo,
    findings: Sequence[Finding],
) -> Path:
    """Write the page of a change map; see `RegionPage.write`."""
    classes, numbers = _classes(polygons)
    images = {role: scene.layers[name] for role, name in (("pre", DateLayers.pre), ("post", DateLayers.post))}
    page = RegionPage(
        CHANGE, "Change", "Score", _headline(summary["area"]), _facts(summary), CAVEATS, classes, numbers, images
    )
    return page.write(path, score, polygons, summary, event, findings)


def _encode(polygons: gpd.GeoDataFrame, numbers: np.ndarray, grid: Grid) -> Payload:
    """Polygons in the order of the frame, with their class numbers."""
    columns = {
        "class": numbers.astype(np.uint8),
        "area": polygons["area_m2"].to_numpy(np.float32),
        "score": share_codes(polygons["score"].to_numpy(float)),
    }
    described = {}
    if "from" in polygons:
        pairs, columns["pair"] = _pairs(polygons)
        described["pairs"] = pairs
    shapes = shapely.simplify(polygons.geometry.to_numpy(), THINNED_PX * np.sqrt(abs(grid.affine.determinant)))
    return Payload.of_objects(polygons["id"], shapes, grid, columns, described)


def _pairs(polygons: gpd.GeoDataFrame) -> tuple[list[tuple[str | None, str | None]], np.ndarray]:
    """Return the pairs of land cover before and after, each pair once, and the number of each polygon's pair."""
    columns = (polygons[name].astype(object).where(polygons[name].notna(), None) for name in ("from", "to"))
    each = list(zip(*columns, strict=True))
    numbers = {pair: number for number, pair in enumerate(dict.fromkeys(each))}
    return list(numbers), np.array([numbers[pair] for pair in each], np.uint16)


def _classes(polygons: gpd.GeoDataFrame) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Key, title, colour, count and area of each class, and the class number of each polygon.

    Classes are transitions from → to, the largest first, where these are known; those beyond the colours are one class.
    """
    areas = to_hectares(polygons["area_m2"].to_numpy(float))
    titles, colours, numbers = ["Change"], list(COLOURS), np.zeros(len(polygons), np.intp)
    if "from" in polygons and len(polygons):
        pairs, pair = _pairs(polygons)
        by_area = np.argsort(-np.bincount(pair, areas, len(pairs)), kind="stable")
        class_index = np.empty(len(pairs), np.intp)
        class_index[by_area] = np.minimum(np.arange(len(pairs)), len(COLOURS))
        numbers = class_index[pair]
        titles = [" → ".join(name or "–" for name in pairs[number]) for number in by_area[: len(COLOURS)]]
        if len(pairs) > len(COLOURS):
            titles, colours = [*titles, "other change"], [*COLOURS, OTHER]
    counts, sums = np.bincount(numbers, minlength=len(titles)), np.bincount(numbers, areas, len(titles))
    entries = zip(titles, colours, counts.tolist(), sums.tolist(), strict=False)
    classes = [
        {"key": f"class-{number}", "title": title, "color": list(colour), "count": count, "area_ha": area}
        for number, (title, colour, count, area) in enumerate(entries)
    ]
    return classes, numbers


def _headline(area: dict[str, Any]) -> tuple[str, str]:
    if not area[f"seen_{_unit(area)}"]:
        return "", "Nothing could be compared."
    rest = f" changed, {100 * area['changed_share']:.1f} % of {area_in_words(area, 'seen')} that both images show{doubt_in_words(area)}"
    return area_in_words(area, "changed", changed_interval(area)), rest


def _facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    area = summary["area"]
    interval = changed_interval(area)
    share = f"{area['changed_share']:.2%}" if area[f"seen_{_unit(area)}"] else "nothing"
    clouds = summary.get("clouds")
    return [
        ("Changed", area_in_words(area, "changed", interval)),
        ("Share of what both images show", f"{share} of {area_in_words(area, 'seen')}"),
        *([("Not looked at under clouds", _clouds(clouds))] if clouds is not None else []),
        *([("Not known", doubt_in_words(area).strip(", "))] if doubt_in_words(area) else []),
        ("Polygons", _count(summary["polygons"])),
        (
            "Method",
            f"{_method(summary)}, threshold {summary['threshold']:.3g}{', refined' if summary['refined'] else ''}",
        ),
    ]


def changed_interval(area: dict[str, Any]) -> Sequence[float] | None:
    """Return the interval of the changed area of a summary, or None if it has no interval."""
    interval: Sequence[float] | None = area[f"changed_{_unit(area)}_interval"]
    return interval


def doubt_in_words(area: dict[str, Any]) -> str:
    """Return how much of the changed area of a summary is not known, behind a comma; "" if all is."""
    if not area.get(f"changed_in_doubt_{_unit(area)}"):
        return ""
    return f", of which {area_in_words(area, 'changed_in_doubt')} under clouds or dark at one date only: not known"


def _method(summary: dict[str, Any]) -> str:
    """Return the method; a run is named without its folders."""
    method = str(summary["method"])
    return f"run {file_name_of(method.removeprefix('run '))}" if method.startswith("run ") else method


def _clouds(clouds: dict[str, Any]) -> str:
    names = clouds[f"by_layer_{_unit(clouds)}"]
    by_date = ", ".join(
        f"{name} {_size(names[layer], _unit(clouds))}"
        for name, layer in (("pre", DateLayers.pre), ("post", DateLayers.post))
    )
    return f"{area_in_words(clouds, 'either')} ({clouds['share']:.1%}); {by_date}"


def _unit(areas: dict[str, Any]) -> str:
    """Return the unit of areas in the summary: pixels if the images have no CRS, else hectares."""
    return "px" if {"seen_px", "either_px"} & areas.keys() else "ha"


def area_in_words(areas: dict[str, Any], name: str, interval: Sequence[float] | None = None) -> str:
    """Return an area of a summary in words.

    Parameters
    ----------
    areas : of a summary, in hectares, or in pixels where the images have no CRS
    name : which one, such as "changed"
    interval : of the area, written in brackets behind it

    Returns
    -------
    str
        Number, unit and interval.
    """
    return _size(areas[f"{name}_{_unit(areas)}"], _unit(areas), interval)


def _size(value: float, unit: str, interval: Sequence[float] | None = None) -> str:
    if unit == "ha":
        return area_text(value, interval)
    around = "" if interval is None else f" ({'–'.join(f'{end:,.0f}' for end in interval)})"
    return f"{value:,.0f} px{around}"


def _count(polygons: dict[str, Any]) -> str:
    """Return the number of polygons, and their minimum area if there is one."""
    unit, size = ("px", polygons["min_area_px"]) if "min_area_px" in polygons else ("m²", polygons["min_area_m2"])
    least = f" of {size:g} {unit} or more" if size else ""
    return f"{polygons['count']:,}{least}"
