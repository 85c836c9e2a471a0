"""report.html of a map of regions: the page that all maps share, with polygons as its objects and the scores as an overlay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.grid import Grid
from deepnets4eo.ground_area import SQUARE_METRES
from deepnets4eo.outputs import EventInfo, Finding, Headline, Language, Quantity, map_page
from deepnets4eo.outputs.map_page import MapKind, Overlay, PageLanguage, Payload, share_codes, write_map_page
from deepnets4eo.rasters import Layer
from deepnets4eo.tiling import Packed

if TYPE_CHECKING:
    import geopandas as gpd

WORDS = Path(__file__).parent / "assets" / "words.yaml"
MAX_LISTED = 50_000  # polygons, the largest ones
THINNED_PX = 0.75  # outlines follow pixels; stairs as high as this become lines
MANY_CORNERS = 300


def region_kind(subject: str, name: str, made_up: str, empty: str) -> MapKind:
    """Return the kind of page of a map of regions.

    Parameters
    ----------
    subject : title of the map
    name : of the product and its GeoPackage
    made_up : what is stated of a synthetic place
    empty : what it means that there is no polygon

    Returns
    -------
    MapKind
        Titles, nouns and the scripts of regions.
    """
    return MapKind(
        title=subject, subject=subject, one="polygon", many="polygons", file=name, made_up=made_up, empty=empty,
        package="deepnets4eo.maps", scripts=("classes.js", "summary.js"), styles=("columns.css",),
    )  # fmt: skip


def page_language(language: Language) -> PageLanguage:
    """Return the texts of the page of a map of regions in a language."""
    return map_page.page_language(language, WORDS)


@dataclass(frozen=True)
class RegionPage:
    """Content of the page of a map of regions, in addition to its figures.

    Attributes
    ----------
    kind : titles, names and scripts
    noun, score : name of what a region shows, and name of its score
    headline : the result in the first lines
    facts, caveats : what was measured, and what to beware of
    classes : key, title, colour, count and area_ha of each class
    numbers : (N,) int, the class of each polygon
    images : "pre" and "post", or only "post" → image
    sources : the files of the images, by the same roles
    overlays : rasters to lay over the images, before the scores
    language : of the page
    """

    kind: MapKind
    noun: str
    score: str
    headline: Headline
    facts: list[tuple[str, str]]
    caveats: tuple[str, ...]
    classes: list[dict[str, Any]]
    numbers: np.ndarray
    images: dict[str, Layer]
    sources: Mapping[str, str]
    overlays: Sequence[Overlay] = ()
    language: PageLanguage = PageLanguage()

    def write(
        self,
        path: str | Path,
        score: Layer,
        polygons: gpd.GeoDataFrame,
        summary: Mapping[str, Any],
        event: EventInfo,
        findings: Sequence[Finding],
    ) -> Path:
        """Write the page of a map of regions, about 14 MB at most. Memory: the listed polygons and one averaged image at a time.

        Parameters
        ----------
        path : the HTML file
        score : of every pixel, in bytes, to lay over the images; its grid is the grid of the page
        polygons : with the columns `id`, `area_m2` and `score`, the largest first
        summary : with `synthetic`, `area`, `registration` and `findings`
        event : what the map is of
        findings : what limits the use of the map, worst first

        Returns
        -------
        Path
            The file.
        """
        say = self.language.say
        listed, grid = polygons.head(MAX_LISTED), score.grid
        payload = _encode(listed, self.numbers[: len(listed)], grid)
        left_out = f"The page holds the {MAX_LISTED:,} largest of {len(polygons):,} polygons; all are in {self.kind.file}.gpkg."
        content = {
            "summary": {
                name: summary[name] for name in ("synthetic", "area", "registration", "findings")
            },  # no folders
            "unit": Quantity.read(summary["area"], "seen").unit,
            "noun": say(self.noun),
            "score": say(self.score),
            "caveats": self.caveats,
            "facts": [(say(label), value) for label, value in self.facts],
            "classes": [entry | {"title": say(entry["title"])} for entry in self.classes],
            "left_out": left_out if len(polygons) > len(listed) else "",
            "lines": [],
        }
        overlays = [*self.overlays, Overlay(self.score, score, 1 / Packed.one)]
        return write_map_page(
            path, self.kind, content, payload, self.images, grid,
            (listed.geometry.to_numpy(), listed["score"].to_numpy(float)), overlays,
            headline=self.headline, language=self.language, event=event, findings=findings, inputs={role: self.sources[role] for role in self.images},
        )  # fmt: skip


def one_class(
    title: str,
    colour: Sequence[int],
    polygons: gpd.GeoDataFrame,
    area: Quantity | None = None,
    language: Language = "en",
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Put all polygons of a page into one class.

    Parameters
    ----------
    title, colour : of the class; red, green and blue, 0–255
    polygons : of the map
    area : to print instead of the sum of the polygons' areas
    language : of the printed area

    Returns
    -------
    (list of dict, (N,) int)
        Classes and numbers of a `RegionPage`.
    """
    area_ha = float(polygons["area_m2"].sum()) / SQUARE_METRES
    entry = {"key": "class-0", "title": title, "color": list(colour), "count": len(polygons), "area_ha": area_ha}
    if area is not None:
        entry["area_text"] = area.text(language)
    return [entry], np.zeros(len(polygons), np.intp)


def _encode(polygons: gpd.GeoDataFrame, numbers: np.ndarray, grid: Grid) -> Payload:
    """Polygons in the order of the frame, with their class numbers."""
    columns = {
        "class": numbers.astype(np.uint8),
        "area": polygons["area_m2"].to_numpy(np.float32),
        "score": share_codes(polygons["score"].to_numpy(float)),
    }
    described = {}
    if "from" in polygons:
        pairs, columns["pair"] = pairs_of(polygons)
        described["pairs"] = pairs
    shapes = _thinned(polygons.geometry.to_numpy(), THINNED_PX * np.sqrt(abs(grid.affine.determinant)))
    return Payload.of_objects(polygons["id"], shapes, grid, columns, described)


def _thinned(shapes: NDArray[np.object_], distance: float) -> NDArray[np.object_]:
    """Return shapes with fewer corners; of shapes with many corners parts smaller than the distance may vanish, in an eighth of the time."""
    many = shapely.get_num_coordinates(shapes) > MANY_CORNERS
    thinned = np.array(shapes)
    thinned[~many] = shapely.simplify(shapes[~many], distance)
    coarse = shapely.simplify(shapes[many], distance, preserve_topology=False)
    thinned[many] = np.where(shapely.is_empty(coarse), shapes[many], coarse)
    return thinned


def pairs_of(polygons: gpd.GeoDataFrame) -> tuple[list[tuple[str | None, str | None]], np.ndarray]:
    """Return the pairs of land cover before and after, each pair once, and the number of each polygon's pair."""
    columns = (polygons[name].astype(object).where(polygons[name].notna(), None) for name in ("from", "to"))
    each = list(zip(*columns, strict=True))
    numbers = {pair: number for number, pair in enumerate(dict.fromkeys(each))}
    return list(numbers), np.array([numbers[pair] for pair in each], np.uint16)
