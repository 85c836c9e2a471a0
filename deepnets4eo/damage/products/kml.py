"""damage.kml: the buildings for Google Earth and phones, a folder for each grade, the worst first.

Takes a DamageMap whose buildings have a CRS; refuses others. Fills are light, so that the roof stays visible.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.damage.products.grades import TITLES, colors
from deepnets4eo.damage.products.positions import DECIMALS, Piece, pieces, xml_text
from deepnets4eo.damage.products.summary import caveats
from deepnets4eo.damage.vocabulary import GRADES, UNGRADED
from deepnets4eo.files import atomic_write

if TYPE_CHECKING:
    from deepnets4eo.damage.map_content import DamageMapContent

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2">\n<Document>\n'
FILL = "40"  # opacity of the fill in hexadecimal, of ff
WIDTH_PX = 2
POINT = f"%.{DECIMALS}f,%.{DECIMALS}f "


def write_kml(damage_map: DamageMapContent, path: str | Path) -> Path:
    """Write KML 2.2; event, findings and caveats are the document's description. Memory: one piece.

    Errors: InputError for buildings without a position on the earth; OutputError when the disk refuses.
    """
    path = Path(path)
    grades = damage_map.buildings["damage"].fillna(UNGRADED).to_numpy(str)
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(HEAD + _description(damage_map) + "".join(_styles()))
        for grade in (*reversed(GRADES), UNGRADED):
            stream.write(f"<Folder><name>{TITLES[grade]}</name>\n")
            for piece in pieces(damage_map.buildings[grades == grade]):
                _write_placemarks(stream, piece, grade)
            stream.write("</Folder>\n")
        stream.write("</Document>\n</kml>\n")
    return path


def _description(damage_map: DamageMapContent) -> str:
    title = ("SYNTHETIC " if damage_map.synthetic else "") + damage_map.title
    findings = [f"{item.severity.upper()}: {item.message} {item.remedy}".strip() for item in damage_map.findings]
    text = "\n".join([*damage_map.event.lines, *findings, *caveats(damage_map)])
    return f"<name>{xml_text(title)}</name>\n<description>{xml_text(text)}</description>\n"


def _styles() -> Iterator[str]:
    for grade, (red, green, blue) in colors().items():
        color = f"{blue:02x}{green:02x}{red:02x}"  # the order of KML, after the opacity
        yield (
            f'<Style id="{grade}"><LineStyle><color>ff{color}</color><width>{WIDTH_PX}</width></LineStyle>'
            f"<PolyStyle><color>{FILL}{color}</color></PolyStyle></Style>\n"
        )


def _write_placemarks(stream: IO[str], piece: Piece, grade: str) -> None:
    names = ("id", "damage_prob", "confidence", "damage_set", "status", "reason", "method")
    for name, *values, geometry in zip(
        *(piece.columns[name] for name in names), _geometries(piece.shapes), strict=True
    ):
        stream.write(
            f"<Placemark><name>{xml_text(name)}</name><description>{xml_text(_words(grade, *values))}</description>"
            f"<styleUrl>#{grade}</styleUrl>{geometry}</Placemark>\n"
        )


def _words(
    grade: str, prob: float | None, confidence: float | None, grades: str | None, status: str, reason: str, method: str
) -> str:
    if grade == UNGRADED:
        return f"{TITLES[grade]}: {reason or status}"
    possible = f", not excluded: {grades.replace(',', ', ')}" if grades else ""
    return f"{TITLES[grade]}. Probability of major damage or worse {prob}, confidence {confidence}{possible}, method {method}."


def _geometries(shapes: NDArray[np.object_]) -> list[str]:
    """A Polygon each, or a MultiGeometry of several."""
    parts, shape_of_part = shapely.get_parts(shapes, return_index=True)
    rings, part_of_ring = shapely.get_rings(parts, return_index=True)
    bounds: list[str] = [""] * len(parts)
    for part, ring in zip(part_of_ring.tolist(), _rings(rings), strict=True):
        side = "inner" if bounds[part] else "outer"
        bounds[part] += f"<{side}BoundaryIs>{ring}</{side}BoundaryIs>"
    polygons: list[list[str]] = [[] for _ in shapes]
    for shape, bound in zip(shape_of_part.tolist(), bounds, strict=True):
        polygons[shape].append(f"<Polygon>{bound}</Polygon>")
    return [own[0] if len(own) == 1 else f"<MultiGeometry>{''.join(own)}</MultiGeometry>" for own in polygons]


def _rings(rings: NDArray[np.object_]) -> Iterator[str]:
    points = shapely.get_coordinates(rings).ravel().tolist()
    ends = np.cumsum(shapely.get_num_coordinates(rings) * 2).tolist()
    for start, end in zip([0, *ends], ends, strict=False):
        text = POINT * ((end - start) // 2) % tuple(points[start:end])
        yield f"<LinearRing><coordinates>{text[:-1]}</coordinates></LinearRing>"
