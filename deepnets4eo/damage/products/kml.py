"""damage.kml: the buildings for Google Earth and phones, a folder for each grade, the worst first.

Takes a DamageMap whose buildings have a CRS; refuses others. Fills are light, so that the roof stays visible.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import shapely

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
    title = ("SYNTHETIC " if damage_map.synthetic else "") + damage_map.event.title
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
    parts, building_of_part = shapely.get_parts(piece.shapes, return_index=True)
    polygons: list[list[str]] = [[] for _ in piece.shapes]
    for building, polygon in zip(building_of_part.tolist(), map(_polygon, parts), strict=True):
        polygons[building].append(polygon)
    names = ("id", "damage_prob", "confidence", "status", "reason", "method")
    for *values, shapes in zip(*(piece.columns[name] for name in names), polygons, strict=True):
        name, text = values[0], _words(grade, *values[1:])
        geometry = shapes[0] if len(shapes) == 1 else f"<MultiGeometry>{''.join(shapes)}</MultiGeometry>"
        stream.write(
            f"<Placemark><name>{xml_text(name)}</name><description>{xml_text(text)}</description>"
            f"<styleUrl>#{grade}</styleUrl>{geometry}</Placemark>\n"
        )


def _words(grade: str, prob: float | None, confidence: float | None, status: str, reason: str, method: str) -> str:
    if grade == UNGRADED:
        return f"{TITLES[grade]}: {reason or status}"
    return f"{TITLES[grade]}. Probability of major damage or worse {prob}, confidence {confidence}, method {method}."


def _polygon(shape: Any) -> str:
    outer, *inner = (_ring(ring) for ring in shapely.get_rings(shape))
    holes = "".join(f"<innerBoundaryIs>{ring}</innerBoundaryIs>" for ring in inner)
    return f"<Polygon><outerBoundaryIs>{outer}</outerBoundaryIs>{holes}</Polygon>"


def _ring(ring: Any) -> str:
    xy = shapely.get_coordinates(ring)
    points = f"%.{DECIMALS}f,%.{DECIMALS}f " * len(xy) % tuple(xy.ravel().tolist())
    return f"<LinearRing><coordinates>{points[:-1]}</coordinates></LinearRing>"
