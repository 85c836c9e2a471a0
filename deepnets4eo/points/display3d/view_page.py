"""A page with a cloud and buildings in three dimensions: one file, which loads nothing from the network.

It draws on a canvas without WebGL, so that it shows in every browser. Points are thinned before (`thin_cloud`); each takes
10 bytes of the page, and a third more in its text. All texts are escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.files import write_text
from deepnets4eo.outputs.findings import Finding
from deepnets4eo.outputs.html import fill_template, script_safe
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.display3d.thin_cloud import class_table, height_colours, point_colours
from deepnets4eo.version import __version__

MOST_POINTS = 250_000  # of a page: 3.4 MB
STEPS = 65_535  # of a coordinate
SEVERITY = {"worthless": "Do not use", "caution": "Caution", "note": "Note"}


def write_point_page(
    cloud: PointCloud,
    path: str | Path,
    boxes: Sequence[BuildingBox] = (),
    *,
    title: str = "Point cloud",
    facts: Sequence[tuple[str, str]] = (),
    findings: Sequence[Finding] = (),
    synthetic: bool = False,
) -> Path:
    """Write the page of a cloud (at most some 250,000 points open quickly) with buildings, facts for its top, findings,
    and a note where the data are made up. Raises OutputError where it cannot be written.

    >>> page = write_point_page(PointCloud(np.random.default_rng(0).uniform(0, 9, (50, 3))), "page.html")
    >>> "<canvas" in page.read_text()
    True
    >>> page.unlink()
    """
    origin = cloud.xyz.min(axis=0)
    size = cloud.xyz.max(axis=0) - origin
    scale = float(max(size.max(), 1e-3)) / STEPS
    classes = class_table(cloud)
    index = np.zeros(256, np.uint8)
    index[[row["code"] for row in classes]] = np.arange(len(classes))
    own = np.zeros(len(cloud), np.uint8) if cloud.classification is None else index[cloud.classification]
    blob = np.round((cloud.xyz - origin) / scale).astype("<u2").tobytes()
    blob += np.column_stack([point_colours(cloud), height_colours(cloud.xyz[:, 2]), own]).astype(np.uint8).tobytes()
    content = {
        "count": len(cloud),
        "scale": scale,
        "size": size.tolist(),
        "coloured": cloud.colour is not None and bool(cloud.colour.any()),
        "classes": classes,
        "boxes": [_box(box, origin) for box in boxes],
    }
    parts = {
        "TITLE": escape(f"SYNTHETIC: {title}" if synthetic else title),
        "FINDINGS": "".join(map(_finding, findings)),
        "FACTS": "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts),
        "CONTENT": script_safe(content),
        "POINTS": base64.b64encode(blob).decode(),
        "SCRIPT": "\n".join(_asset(name) for name in ("renderer.js", "controls.js", "page.js")),
        "VERSION": __version__,
    }
    return write_text(path, fill_template(_asset("view3d.html"), parts))


def _box(box: BuildingBox, origin: np.ndarray) -> dict[str, object]:
    return {
        "name": box.name,
        "rings": [(ring - origin[:2]).round(2).tolist() for ring in box.rings()],
        "bottom": round(box.bottom_m - float(origin[2]), 2),
        "top": round(box.top_m - float(origin[2]), 2),
        "colour": list(box.colour),
        "group": box.group,
        "facts": [list(pair) for pair in box.facts],
    }


def _finding(finding: Finding) -> str:
    text = f"<b>{SEVERITY[finding.severity]}</b> {escape(finding.message)} <i>{escape(finding.remedy)}</i>"
    return f'<p class="finding {finding.severity}">{text}</p>'


def _asset(name: str) -> str:
    return (files("deepnets4eo.points.display3d") / "assets" / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class BuildingBox:
    """A building to be drawn: outline in the coordinates of the cloud, heights of foot and top in metres, colour 0–255,
    `group` such as a grade, which the page can hide, and facts as pairs of text."""

    name: str
    outline: Any
    bottom_m: float
    top_m: float
    colour: tuple[int, int, int]
    group: str
    facts: tuple[tuple[str, str], ...] = ()

    def rings(self) -> list[NDArray[np.float64]]:
        """Rings (n, 2) of its outline, the last point the same as the first."""
        return [shapely.get_coordinates(ring) for ring in shapely.get_rings(self.outline)]


def box_lines(boxes: list[BuildingBox]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return the edges of prisms: (M, 2, 3) ends of lines and (M, 3) colours."""
    lines, colours = [np.zeros((0, 2, 3))], [np.zeros((0, 3), np.uint8)]
    for box in boxes:
        for ring in box.rings():
            low = np.column_stack([ring, np.full(len(ring), box.bottom_m)])
            high = np.column_stack([ring, np.full(len(ring), box.top_m)])
            edges = [np.stack([level[:-1], level[1:]], axis=1) for level in (low, high)]
            edges.append(np.stack([low[:-1], high[:-1]], axis=1))
            lines += edges
            colours.append(np.tile(np.array(box.colour, np.uint8), (sum(map(len, edges)), 1)))
    return np.concatenate(lines), np.concatenate(colours)
