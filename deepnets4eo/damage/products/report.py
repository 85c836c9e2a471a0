"""report.html: a page that works offline, with both images, every building and the evidence behind its grade."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.damage.products.words import count_sentence, page_language
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.damage.table.vocabulary import GRADES, QUARTERS, SUBJECT, TITLES, colors
from deepnets4eo.grid import Grid
from deepnets4eo.outputs.map_page import (
    CLOUD_COLOUR,
    MISSING,
    MapKind,
    Overlay,
    PageLanguage,
    Payload,
    rings_in_pixels,
    share_codes,
    write_map_page,
)
from deepnets4eo.registration import UNMOVED, on_post_grid

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.damage.products.content import DamageMapContent
    from deepnets4eo.damage.site.site import ShownRaster
    from deepnets4eo.outputs import Language
    from deepnets4eo.rasters import Layer

STATUS = (
    '<select id="status" aria-label="%%=Status%%"><option value="">%%=all statuses%%</option>'
    '<option value="assessed">%%=assessed%%</option><option value="not_assessed">%%=not assessed%%</option></select>'
)
DAMAGE = MapKind(
    title="Building damage map", subject=SUBJECT, one="building", many="buildings", file="damage",
    made_up="This place and its damage are made up.",
    empty="There are no building outlines here, so nothing was assessed: damage visible in the images is not in this map.", package="deepnets4eo.damage.products",
    scripts=("grades.js", "building.js", "summary.js"), styles=("columns.css",), choice=STATUS,
)  # fmt: skip


def write_report(
    damage_map: DamageMapContent,
    summary: dict[str, Any],
    path: str | Path,
    *,
    post: Layer,
    pre: Layer | None = None,
    scores: Sequence[ShownRaster] = (),
    language: Language = "en",
) -> Path:
    """Write the page, at most about 14 MB up to 200,000 buildings. summary : of `summarize`; scores : rasters over the images."""
    payload, words = encode(damage_map, post.grid), page_language(language)
    layers = (
        {} if pre is None else {"pre": on_post_grid(pre, post.grid, damage_map.registration.get("matrix", UNMOVED))}
    )
    layers["post"] = post
    content = {
        "summary": summary,
        "sentence": count_sentence(damage_map, language),
        "caveats": summary["caveats"],
        "classes": [_class_of_page(words, key) for key in damage_map.table.shown_classes],
        "unknown": {key: count for key, count in damage_map.table.counts().items() if key in QUARTERS},
        "lines": _lines(damage_map, post.grid),
    }
    return write_map_page(
        path, DAMAGE, content, payload, layers, post.grid, _attention(damage_map),
        [_overlay(score, damage_map) for score in scores],
        headline=damage_map.page_headline(language), event=damage_map.event, findings=[*damage_map.findings, *damage_map.advice_of_few], inputs=damage_map.inputs, language=words,
    )  # fmt: skip


def _overlay(raster: ShownRaster, damage_map: DamageMapContent) -> Overlay:
    """Scores, or clouds or new water, which the page opens with if they hide or surround buildings, since its first lines count these."""
    if raster.scale is not None:
        return Overlay(raster.name, raster.layer, raster.scale)
    if raster.name == "clouds":
        is_hiding = bool(damage_map.table.because(Reason.CLOUD).any())
        return Overlay("Clouds", raster.layer, colour=CLOUD_COLOUR, is_visible=is_hiding, unknown="Clouds not known")
    return Overlay(
        "New water", raster.layer, is_visible=bool(damage_map.inundation.get("inundated")), unknown="Water not known"
    )


def _lines(damage_map: DamageMapContent, grid: Grid) -> list[dict[str, Any]]:
    """Return the ground without outlines and the edge of what was assessed, as layers of lines; what is nowhere is left out."""
    without = rings_in_pixels(_shapes(damage_map.extent_without_outlines), grid)
    edge = rings_in_pixels(damage_map.assessed_extent.geometry.to_numpy(), grid)
    layers = [("Not examined", [], without), ("Edge of assessed ground", edge, [])]
    return [
        {"title": title, "dashed": dashed, "hatched": hatched, "visible": True}
        for title, dashed, hatched in layers if dashed or hatched
    ]  # fmt: skip


def _class_of_page(words: PageLanguage, key: str) -> dict[str, Any]:
    return {"key": key, "title": words.say(TITLES[key]), "color": list(colors()[key])}


def _attention(damage_map: DamageMapContent) -> tuple[np.ndarray, np.ndarray]:
    """Outlines of the assessed buildings and their probability of damage."""
    frame = damage_map.buildings[damage_map.table.assessed]
    return frame.geometry.to_numpy(), frame["damage_prob"].to_numpy(float)


def _shapes(extent: gpd.GeoDataFrame | None) -> np.ndarray:
    return np.zeros(0, dtype=object) if extent is None else extent.geometry.to_numpy()


KNOTS = 257
BINS = 24
EVIDENCE_VALUES = 1_200_000  # most probable buildings first; what lies beyond is in damage.gpkg


def encode(damage_map: DamageMapContent, grid: Grid) -> Payload:
    """Pack all buildings; `described` has the distribution of every evidence column."""
    frame = most_damaged_first(damage_map.buildings)
    table = Buildings(frame)
    assessed, numbers = table.assessed, {name: number for number, name in enumerate(table.shown_classes)}
    reasons, reason = np.unique(frame["reason"].fillna("").to_numpy(str), return_inverse=True)
    methods, method = np.unique(frame["method"].fillna("").to_numpy(str), return_inverse=True)
    grade = np.asarray(table.classes.map(numbers), np.uint8)
    prob = _share(frame["damage_prob"], assessed)
    columns = {
        "class": grade,
        "prob": np.diff(prob, prepend=np.uint16(0)),  # sorted, so that steps are small and pack well
        "confidence": _share(frame["confidence"], assessed),
        "set": _set_codes(frame["damage_set"]),
        "reason": reason.astype(np.uint16),
        "method": method.astype(np.uint8),
    }
    rows = min(int(assessed.sum()), EVIDENCE_VALUES // max(len(damage_map.evidence) + 2, 1))
    evidence = []
    for name in (*damage_map.evidence, "dx_px", "dy_px"):
        values = frame[name].to_numpy(float)
        ranks, distribution = _rank(values[assessed], grade[assessed])
        columns[f"rank:{name}"] = ranks[:rows]
        evidence.append({"name": name, "meaning": damage_map.meaning.get(name, ""), **distribution})
    described = {"reasons": reasons.tolist(), "methods": methods.tolist(), "evidence": evidence, "evidenceRows": rows}
    return Payload.of_objects(frame["id"].astype(str), frame.geometry.to_numpy(), grid, columns, described)


def most_damaged_first(buildings: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Sort the assessed buildings by falling probability, then the others in their order."""
    prob = np.where(Buildings(buildings).assessed, buildings["damage_prob"], -1.0)
    return buildings.iloc[np.argsort(-prob, kind="stable")]


def _share(column: Any, assessed: NDArray[np.bool_]) -> NDArray[np.uint16]:
    return share_codes(np.where(assessed, column.to_numpy(float), np.nan))


def _set_codes(column: Any) -> NDArray[np.uint8]:
    """Return sets of grades as bits, the mildest first."""
    parts = column.fillna("").str.split(",")
    return np.array([sum(1 << k for k, grade in enumerate(GRADES) if grade in names) for names in parts], np.uint8)


def _rank(values: NDArray[np.float64], grade: NDArray[np.uint8]) -> tuple[NDArray[np.uint16], dict[str, Any]]:
    """Ranks 0 … 65534 among finite values, quantiles that undo them, a histogram and each grade's median."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.full(len(values), MISSING, np.uint16), {"knots": [], "histogram": [], "range": [], "medians": []}
    levels = np.linspace(0, 1, KNOTS)
    knots = np.quantile(values[finite], levels)
    ranks = np.full(len(values), MISSING, np.uint16)
    ranks[finite] = np.rint(np.interp(values[finite], knots, levels) * (MISSING - 1))
    low, high = np.quantile(values[finite], [0.01, 0.99])
    apart = high - low > 1e-9 * max(abs(low), abs(high), 1e-9)  # else the borders of the bins would be one number
    histogram, _ = np.histogram(np.clip(values[finite], low, high), BINS, (low, high if apart else low + 1))
    medians = [np.median(of) if len(of := values[finite & (grade == k)]) else None for k in range(len(GRADES))]
    return ranks, {
        "knots": [float(f"{knot:.6g}") for knot in knots],
        "histogram": histogram.tolist(),
        "range": [low, high],
        "medians": medians,
    }
