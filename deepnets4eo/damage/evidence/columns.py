"""From sums to evidence: every column with what it means, its unit, and the way it points.

Takes the sums of the pass; gives one float column per evidence. All are free of the image's brightness and contrast:
logarithms of ratios, correlations, shares, differences against the neighbourhood.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.damage.evidence.block import DIRECTIONS, INSIDE
from deepnets4eo.damage.evidence.sums import Rows, correlations

Column = NDArray[np.float64]
EPS = 0.003
FLAT_VARIANCE = 1e-4


def evidence_columns(sums: dict[str, Rows], paired: NDArray[np.bool_]) -> pd.DataFrame:
    """All evidence of N buildings; columns that need the pre image are NaN where `paired` is False."""
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {}
        P = {k: inside_means(sums, k) for k in ("pre", "post") if f"{k}_inside" in sums}
        for k, m in P.items():
            columns |= {f"{k}_{n}": v for n, v in m.items()}
            ctx = sums.get(f"{k}_near"), sums.get(f"{k}_far")
            for nm, c in zip(("near", "far"), ctx):
                if c is not None:
                    for j, n in enumerate(("light", "light2", "rough", "log_floor", "red", "green", "blue", "edge")):
                        columns[f"{k}_{nm}_{n}"] = c[:, j]
            o = sums[f"{k}_outline"]
            cnt = (sums[f"{k}_shadow"][:, DIRECTIONS:]).sum(1)
            sup = o[:, 1:] / cnt[:, None]
            columns[f"{k}_support0"] = sup[:, sup.shape[1] // 2] / (m["edge"] + 1e-3)
            columns[f"{k}_support"] = sup.max(1) / (m["edge"] + 1e-3)
            columns[f"{k}_supabs"] = sup.max(1)
            columns[f"{k}_supprom"] = sup.max(1) / sup.mean(1)
            s = sums[f"{k}_shadow"]
            d = s[:, :DIRECTIONS] / s[:, DIRECTIONS:]
            for j in range(DIRECTIONS):
                columns[f"{k}_dark{j}"] = d[:, j] - columns[f"{k}_near_light"]
        if "pair" in sums:
            for key, fl in (("edges", 1e-3), ("light", 1e-2)):
                r, s = correlations(sums["pair"][:, 0], sums[f"pair_{key}"], fl)
                columns[f"pair_{key}_max"] = r.max(1)
                columns[f"pair_{key}_0"] = r[:, r.shape[1] // 2]
                columns[f"pair_{key}_prom"] = r.max(1) - np.median(r, 1)
                columns[f"pair_{key}_ssim"] = s.max(1)
    return pd.DataFrame(columns)


def inside_means(sums: dict[str, Rows], image: str) -> dict[str, Column]:
    rows = sums[f"{image}_inside"]
    n = rows[:, 0]
    m = {name: rows[:, j] / n for j, name in enumerate(INSIDE) if j}
    m["spread"] = np.sqrt(np.maximum(m["light2"] - m["light"] ** 2, 0))
    m["rectness"] = np.hypot(m["right_cos"], m["right_sin"]) / m["edge2"]
    m["coherence"] = np.hypot(m["line_cos"], m["line_sin"]) / m["edge2"]
    return m


MEANING: dict[str, str] = {}
