"""The true volumes of every building of the miniature city, before and after the event.

Sums over the pixels of the surfaces, so that they are exact for what scans measure.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from deepnets4eo.synthetic.city import City
from deepnets4eo.synthetic.materials import CODE

HEAP_M, HEAP_SHARE = 2.5, 0.35  # walls higher than this, and than this share of the height before, still stand
DEBRIS = tuple(CODE[name] for name in ("rubble", "burnt"))


def building_volumes(city: City) -> pd.DataFrame:
    """Compute the volumes of the planned buildings.

    Parameters
    ----------
    city
        The city.

    Returns
    -------
    Table with the rows of `city.buildings`: id; area_m2 of the plan; volume_pre_m3 and volume_post_m3, what stands or
    lies on the plan above the ground; lost_m3, the fall of the surface on the plan; debris_m3, what lies on the plan as
    rubble or burnt remains, without walls that stand; roof_height_loss_m, mean fall of the surface; rubble_share, of the plan's area, 0–1.

    Examples
    --------
    >>> table = building_volumes(City(seed=1, size_px=96))
    >>> bool((table["volume_pre_m3"] >= 0).all())
    True
    """
    before, after = city.pre.surface, city.post.surface
    number = before.building.ravel()  # of the plan: an extension of the post date is new, not part of it
    cell = before.gsd_m**2
    fall = (before.height - after.height).ravel()
    size = len(city.all_buildings) + 1
    pixels = np.bincount(number, minlength=size)[1:size]

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(number, weights=values.ravel(), minlength=size)[1:size]

    with np.errstate(invalid="ignore"):
        limit = np.nan_to_num(np.maximum(HEAP_M, HEAP_SHARE * total(before.height) / pixels))
        limit = np.concatenate([[0.0], limit, np.zeros(max(int(number.max()) - size + 1, 0))])
        debris = np.isin(after.material, DEBRIS).ravel() & (after.height.ravel() <= limit[number])
        columns = {
            "area_m2": pixels * cell,
            "volume_pre_m3": total(before.height) * cell,
            "volume_post_m3": total(after.height) * cell,
            "lost_m3": total(np.maximum(fall, 0)) * cell,
            "debris_m3": total(np.where(debris, after.height.ravel(), 0)) * cell,
            "roof_height_loss_m": total(fall) / pixels,
            "rubble_share": total(debris) / pixels,
        }
    table = pd.DataFrame({"id": city.all_buildings["id"], **columns})
    return table[table["id"].isin(city.buildings["id"])].reset_index(drop=True)
