"""What the sums for every shift come to: the best place of the outline, and of one image on the other.

Takes the sums of buildings whose blocks are all measured; of some 180 numbers a building five are left, so that only
buildings on the border of a block keep them all until the end.
"""

from __future__ import annotations

from deepnets4eo.arrays import BuildingSums
from deepnets4eo.damage.evidence.sums import correlations

FLAT_EDGES, FLAT_LIGHT = 1e-3, 1e-2  # variances below which there is nothing to correlate, contrast units²
IN_PLACE = "pair_edges_in_place"


def best_of_shifts(sums: dict[str, BuildingSums]) -> dict[str, BuildingSums]:
    """Per building and name one number, (M, 1) each.

    sums : `pre_outline`, `post_outline` (M, S), and with a pre image `pair`, `pair_edges`, `pair_light` of
    `correlation_sums`. returns : `…_outline`, the largest sum of edge strength; `pair_edges`, the largest correlation,
    `pair_edges_in_place`, that without a shift, and `pair_light`, the largest structural similarity.
    """
    best = {name: rows.max(axis=1, keepdims=True) for name, rows in sums.items() if name.endswith("_outline")}
    if "pair" in sums:
        pixels = sums["pair"][:, 0]
        edges, _ = correlations(pixels, sums["pair_edges"], FLAT_EDGES)
        _, structure = correlations(pixels, sums["pair_light"], FLAT_LIGHT)
        middle = edges.shape[1] // 2
        best["pair_edges"] = edges.max(axis=1, keepdims=True)
        best[IN_PLACE] = edges[:, middle : middle + 1]
        best["pair_light"] = structure.max(axis=1, keepdims=True)
    return best
