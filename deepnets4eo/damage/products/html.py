"""report.html: one page that works offline, with both images, every building and the evidence behind its grade.

Takes a DamageMapContent, its summary and the image layers; writes a single file that loads nothing from the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.damage.products.grades import TITLES, colors
from deepnets4eo.damage.products.payload import encode
from deepnets4eo.damage.vocabulary import ASSESSED, CLASSES, SUBJECT
from deepnets4eo.outputs.map_page.banner import findings_banner
from deepnets4eo.outputs.map_page.page import MapKind, image_budget, rings_in_pixels, write_map_page
from deepnets4eo.outputs.map_page.panels import render, render_scores
from deepnets4eo.registration.view import UNMOVED, on_post_grid
from deepnets4eo.zonal import patch_centres

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.damage.map_content import DamageMapContent
    from deepnets4eo.damage.raster_evidence import ScoreLayer
    from deepnets4eo.grid import Grid
    from deepnets4eo.rasters.scene import Layer

STATUS = (
    '<select id="status" aria-label="Status"><option value="">all statuses</option>'
    '<option value="assessed">assessed</option><option value="not_assessed">not assessed</option></select>'
)
DAMAGE = MapKind(
    title="Building damage map", subject=SUBJECT, one="building", many="buildings", file="damage",
    made_up="This place and its damage are made up.", package="deepnets4eo.damage.products",
    scripts=("grades.js", "building.js", "summary.js"), styles=("columns.css",), choice=STATUS,
)  # fmt: skip


def write_report(
    damage_map: DamageMapContent,
    summary: dict[str, Any],
    path: str | Path,
    *,
    post: Layer,
    pre: Layer | None = None,
    scores: Sequence[ScoreLayer] = (),
) -> Path:
    """Write the page; `summary` is `summarize`'s. scores : rasters that can be laid over the images.

    Size: about 14 MB at most up to 200,000 buildings, of which the images take what the buildings leave.
    Memory: the buildings' columns and one averaged image at a time.
    """
    payload = encode(damage_map, post.grid)
    layers = (
        {} if pre is None else {"pre": on_post_grid(pre, post.grid, damage_map.registration.get("matrix", UNMOVED))}
    )
    layers["post"] = post
    content = {
        "summary": summary,
        "caveats": summary["caveats"],
        "classes": _grades(),
        "extent": rings_in_pixels(damage_map.assessed_extent.geometry.to_numpy(), post.grid),
        "without_outlines": rings_in_pixels(_shapes(damage_map.extent_without_outlines), post.grid),
    }
    return write_map_page(
        path, DAMAGE, content, payload, render(layers, _attention(damage_map, post.grid), image_budget(payload)),
        [render_scores(score.name, score.layer, score.scale) for score in scores],
        event=damage_map.event, banner=findings_banner(damage_map.findings), grid=post.grid, inputs=damage_map.inputs,
    )  # fmt: skip


def _grades() -> list[dict[str, Any]]:
    palette = colors()
    return [{"key": key, "title": TITLES[key], "color": list(palette[key])} for key in CLASSES]


def _attention(damage_map: DamageMapContent, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Positions (col, row) of the assessed buildings and their probability of damage."""
    frame = damage_map.buildings
    frame = frame[frame["status"] == ASSESSED]
    return patch_centres(frame.geometry.to_numpy(), grid), frame["damage_prob"].to_numpy(float)


def _shapes(extent: gpd.GeoDataFrame | None) -> np.ndarray:
    return np.zeros(0, dtype=object) if extent is None else extent.geometry.to_numpy()
