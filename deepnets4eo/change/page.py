"""report.html of a change map: both images under a line that moves, the scores, and the polygons; one file, works offline.

Takes the scene, the scores and the polygons; reads each raster once at reduced resolution.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.change.pair import POST, PRE
from deepnets4eo.display.figures import score_colours, stretch
from deepnets4eo.files import write_text
from deepnets4eo.formats.access import is_remote
from deepnets4eo.grid import transform_shapes
from deepnets4eo.outputs.findings import Finding
from deepnets4eo.outputs.html import fill_template, image_address
from deepnets4eo.rasters.display import colour_bands
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.tiling.scores import PACKED_ONE

if TYPE_CHECKING:
    import geopandas as gpd

LONGEST_PX = 1400  # side of the images in the page
MOST_DRAWN, MOST_LISTED = 3000, 100  # polygons, the largest ones
QUALITY = 78
LABELS = {"worthless": "Do not use", "caution": "Caution", "note": "Note"}


def write_page(
    path: str | Path,
    scene: Scene,
    score: Layer,
    polygons: gpd.GeoDataFrame,
    summary: dict[str, Any],
    findings: Sequence[Finding],
) -> Path:
    """Write the page; all text in it is escaped. Size: about 2 MB."""
    height, width = scene.shape
    parts = {
        "TITLE": ("SYNTHETIC " if summary["synthetic"] else "") + "Change map",
        "FINDINGS": "".join(_finding(finding) for finding in findings),
        "FACTS": "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in _facts(summary)
        ),
        "PRE": _picture(scene.layers[PRE]),
        "POST": _picture(scene.layers[POST]),
        "SCORE": _heat(score),
        "NAME_PRE": escape(_file_name(summary["pre"])),
        "NAME_POST": escape(_file_name(summary["post"])),
        "VIEW": f"0 0 {width} {height}",
        "OUTLINES": _outlines(polygons, scene),
        "CLASS_HEAD": "<th>class</th>" if "from" in polygons else "",
        "ROWS": "".join(_row(record) for record in _records(polygons)),
        "LISTED": f"{min(len(polygons), MOST_LISTED)} of {len(polygons)}",
    }
    template = (files("deepnets4eo.change") / "assets" / "report.html").read_text(encoding="utf-8")
    return write_text(path, fill_template(template, parts))


def _facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    area, registration = summary["area"], summary["registration"]
    interval = area["changed_ha_interval"]
    changed = f"{area['changed_ha']:,.2f} ha" + (
        "" if interval is None else f" ({interval[0]:,.2f}–{interval[1]:,.2f})"
    )
    share = f"{area['changed_share']:.2%}" if area["seen_ha"] else "nothing"
    clouds = summary.get("clouds")
    return [
        ("Changed", changed),
        ("Share of what both images show", f"{share} of {area['seen_ha']:,.1f} ha"),
        *([("Not looked at under clouds", _clouds(clouds))] if clouds is not None else []),
        ("Polygons", _count(summary["polygons"])),
        (
            "Method",
            f"{summary['method']}, threshold {summary['threshold']:.3g}{', refined' if summary['refined'] else ''}",
        ),
        ("Registration", f"{registration['status']}, {registration['shift_m']:.2f} m ({registration['model']})"),
    ]


def _clouds(clouds: dict[str, Any]) -> str:
    by_date = ", ".join(
        f"{name} {clouds['by_layer_ha'][layer]:,.2f} ha" for name, layer in (("pre", PRE), ("post", POST))
    )
    return f"{clouds['either_ha']:,.2f} ha ({clouds['share']:.1%}); {by_date}"


def _count(polygons: dict[str, Any]) -> str:
    """How many polygons there are, and their least area where there is one."""
    least = f" of {polygons['min_area_m2']:g} m² or more" if polygons["min_area_m2"] else ""
    return f"{polygons['count']:,}{least}"


def _finding(finding: Finding) -> str:
    text = f"<b>{LABELS[finding.severity]}</b> {escape(finding.message)} <i>{escape(finding.remedy)}</i>"
    return f'<p class="finding {finding.severity}">{text}</p>'


def _picture(layer: Layer) -> str:
    """The layer as a WebP in a data address, each band stretched."""
    data, valid, _ = layer.subset(colour_bands(layer)).thumbnail(LONGEST_PX)
    return _address(stretch(data, valid))


def _heat(score: Layer) -> str:
    """The scores in yellow to red, opaque where change is certain."""
    data, valid, _ = score.thumbnail(LONGEST_PX)
    return _address(score_colours(data[0].astype(np.float32) / PACKED_ONE, valid))


def _address(image: NDArray[np.uint8]) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=QUALITY, method=2)
    return image_address(buffer.getvalue(), "webp")


def _outlines(polygons: gpd.GeoDataFrame, scene: Scene) -> str:
    """SVG paths in pixels of the grid, of the largest polygons."""
    drawn = transform_shapes(~scene.grid.affine, polygons.geometry.to_numpy()[:MOST_DRAWN])
    simple = shapely.simplify(drawn, max(scene.shape) / LONGEST_PX / 2)
    return "".join(
        f'<path data-id="{escape(identity)}" d="{_path(shape)}"/>'
        for identity, shape in zip(polygons["id"].head(MOST_DRAWN), simple, strict=True)
    )


def _path(shape: Any) -> str:
    rings = (shapely.get_coordinates(ring).round(1) for ring in shapely.get_rings(shape))
    return "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in ring[:-1]) + "Z" for ring in rings)


def _records(polygons: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = polygons.head(MOST_LISTED).drop(columns=polygons.geometry.name).to_dict("records")
    return rows


def _row(record: dict[str, Any]) -> str:
    cells = [record["id"], f"{record['area_m2']:,.0f}", f"{record['score']:.2f}"]
    if "from" in record:
        cells.append(f"{record['from'] or '–'} → {record['to'] or '–'}")
    texts = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr tabindex="0" data-id="{escape(record["id"])}">{texts}</tr>'


def _file_name(source: str) -> str:
    """The name alone: the page is passed on, and must not show folders, hosts or passwords of web addresses."""
    path = urlsplit(source).path if is_remote(source) else source
    return PurePath(path).name or source
