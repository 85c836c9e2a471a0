"""Buildings as the report page reads them, most probable damage first.

Takes a DamageMap and the post grid. Evidence is stored as its rank in the scene, from which the page gets both the value and
"higher than 97 % of buildings".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.damage.vocabulary import ASSESSED, GRADES
from deepnets4eo.grid import Grid
from deepnets4eo.outputs.map_page.payload import MISSING, Payload, pack_objects, share_codes

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.damage.map_content import DamageMapContent

KNOTS = 257
BINS = 24
EVIDENCE_VALUES = 1_200_000  # most probable buildings first; what lies beyond is in damage.gpkg


def encode(damage_map: DamageMapContent, grid: Grid) -> Payload:
    """Pack all buildings; `described` holds ids, dictionaries and the distribution of every evidence column."""
    frame = most_damaged_first(damage_map.buildings)
    assessed = (frame["status"] == ASSESSED).to_numpy(bool)
    reasons, reason = np.unique(frame["reason"].fillna("").to_numpy(str), return_inverse=True)
    methods, method = np.unique(frame["method"].fillna("").to_numpy(str), return_inverse=True)
    grade = frame["damage"].map({name: k for k, name in enumerate(GRADES)}).fillna(len(GRADES)).to_numpy(np.uint8)
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
    described = {
        "reasons": reasons.tolist(),
        "methods": methods.tolist(),
        "evidence": evidence,
        "evidenceRows": rows,
    }
    return pack_objects(frame["id"].astype(str), frame.geometry.to_numpy(), grid, columns, described)


def most_damaged_first(buildings: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Assessed buildings by falling probability, then the others as they came."""
    prob = np.where(buildings["status"] == ASSESSED, buildings["damage_prob"], -1.0)
    return buildings.iloc[np.argsort(-prob, kind="stable")]


def _share(column: Any, assessed: NDArray[np.bool_]) -> NDArray[np.uint16]:
    return share_codes(np.where(assessed, column.to_numpy(float), np.nan))


def _set_codes(column: Any) -> NDArray[np.uint8]:
    """Sets of grades as bits, the mildest grade first; 0 where there is none."""
    parts = column.fillna("").str.split(",")
    return np.array([sum(1 << k for k, grade in enumerate(GRADES) if grade in names) for names in parts], np.uint8)


def _rank(values: NDArray[np.float64], grade: NDArray[np.uint8]) -> tuple[NDArray[np.uint16], dict[str, Any]]:
    """Ranks 0 … 65534 among the finite values, the quantiles that undo them, a histogram and each grade's median."""
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
