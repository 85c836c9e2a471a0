"""A cloud of at most so many points, evenly drawn, with a colour for each: what viewers need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import Legend
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.rubble.rubble_map import RUBBLE_CLASS

RUBBLE_COLOUR = (255, 0, 170)
OTHER_COLOUR = (200, 200, 200)


def thin_cloud(chunks: Iterable[PointCloud], total: int, most: int, seed: int = 0) -> PointCloud:
    """Draw about `most` of the `total` points of the chunks of a cloud at random, in their order; coordinates, colour
    and classification alone are kept."""
    rng = np.random.default_rng(seed)
    share = min(1.0, most / max(total, 1))
    kept = []
    for cloud in chunks:
        index = np.flatnonzero(rng.random(len(cloud)) < share)
        if len(index):
            kept.append(cloud.subset(index))
    if not kept:
        raise ValueError("no point is left: the chunks are empty")
    columns: dict[str, Any] = {
        name: np.concatenate([part.measurements()[name] for part in kept])
        for name in ("colour", "classification")
        if name in kept[0].measurements()
    }
    return PointCloud(
        np.concatenate([part.xyz for part in kept]),
        **columns,
        crs=kept[0].crs,
        source=kept[0].source,
        synthetic=kept[0].synthetic,
        asprs=kept[0].asprs,
    )


def class_table(cloud: PointCloud) -> list[dict[str, Any]]:
    """Codes of the classes in a cloud, ascending, with name, colour (red, green, blue) and number of points."""
    if cloud.classification is None:
        return []
    known = {one.value: one for one in Legend.load("asprs_las").classes}
    counts = np.bincount(cloud.classification, minlength=256)
    rows: list[dict[str, Any]] = []
    for code in np.flatnonzero(counts).tolist():
        if code == RUBBLE_CLASS:
            name, colour = "rubble", RUBBLE_COLOUR
        elif code in known:
            name, colour = known[code].name, known[code].color
        else:
            name, colour = f"class {code}", OTHER_COLOUR
        rows.append({"code": code, "name": name, "colour": list(colour), "points": int(counts[code])})
    return rows


def point_colours(cloud: PointCloud) -> NDArray[np.uint8]:
    """(N, 3) colours: those of the points where they have some, else of their class, else by height."""
    if cloud.colour is not None and cloud.colour.any():
        return cloud.colour
    table = np.full((256, 3), OTHER_COLOUR, np.uint8)
    for row in class_table(cloud):
        table[row["code"]] = row["colour"]
    if cloud.classification is not None:
        return table[cloud.classification]
    return height_colours(cloud.xyz[:, 2])


def height_colours(z: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(N, 3) colours from blue (low) over green to red (high), by quantiles 2 to 98 %."""
    low, high = np.quantile(z, (0.02, 0.98))
    share = np.clip((z - low) / max(high - low, 1e-6), 0, 1)
    ramp = np.array([(40, 70, 160), (60, 160, 170), (120, 190, 90), (240, 200, 70), (200, 60, 40)], float)
    at = share * (len(ramp) - 1)
    lower = np.minimum(at.astype(int), len(ramp) - 2)
    mix = (at - lower)[:, None]
    return (ramp[lower] * (1 - mix) + ramp[lower + 1] * mix).astype(np.uint8)
