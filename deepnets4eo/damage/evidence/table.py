"""The evidence table: one row per building, its evidence, and whether it can be assessed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.arrays import BuildingSums, Floats, Texts
from deepnets4eo.damage.buildings import Buildings
from deepnets4eo.damage.evidence.block import BuildingGeometry
from deepnets4eo.damage.evidence.columns import COMPARED, MEANING
from deepnets4eo.damage.evidence.working_grid import WorkingGrid
from deepnets4eo.damage.vocabulary import ASSESSED, NOT_ASSESSED, POST_ONLY, PRE_POST

VISIBLE_SHARE = 0.7  # of the footprint's area that an image must show
CLOUDY_SHARE = 0.3  # of the footprint's area under cloud beyond which it is not assessed
SMALLEST_M2 = 8.0
SMALLEST_PX = 20

EMPTY, OUTSIDE, NODATA = "footprint is empty", "outside the post image", "no data in the post image"
CUT = "partly outside the post image"
CLOUD, SMALL = "under cloud", "footprint too small for the image resolution"
BLANK = "one single value in the post image: undeclared nodata, or saturated"
SHADE = "in deep shadow in the post image"
LARGE, ENCLOSING = "footprint larger than any building", "footprint encloses other footprints"


@dataclass(frozen=True)
class Coverage:
    """Per building: `reason` ('' when it can be assessed) and `method` ('' when not)."""

    reason: NDArray[np.object_]
    method: NDArray[np.object_]

    def without(self, hidden: NDArray[np.bool_], why: str) -> Coverage:
        """The same where hidden (N,) buildings cannot be assessed either."""
        more = hidden & (self.reason == "")
        return Coverage(np.where(more, why, self.reason), np.where(more, "", self.method))


@dataclass(frozen=True)
class EvidenceTable:
    """Evidence of N buildings.

    frame : id, `ev_…` float columns, status, reason, method, and dx_px, dy_px: how far the footprint was moved on the
        post image, pixels right and down
    meaning : of each `ev_…` column
    before : the columns that need one image alone, measured on the pre image
    displaced : (N,) roofs more than 3 m beside their place in the post image
    agreement : (N,) of the edge directions of roofs in both images, 0–1, as measured; the column `ev_roof_match` is relative to
        the best roofs of the site
    """

    frame: pd.DataFrame
    meaning: dict[str, str]
    before: pd.DataFrame | None = None
    displaced: NDArray[np.bool_] | None = None
    agreement: Floats | None = None

    @classmethod
    def build(
        cls,
        ids: NDArray[np.object_],
        evidence: pd.DataFrame,
        coverage: Coverage,
        shift_px: NDArray[np.float64],
        before: pd.DataFrame | None = None,
        displaced: NDArray[np.bool_] | None = None,
        agreement: Floats | None = None,
    ) -> EvidenceTable:
        """Put together the table, without evidence of buildings that are not assessed."""
        assessed = coverage.reason == ""
        frame = evidence.where(pd.Series(assessed, evidence.index), np.nan)
        frame.insert(0, "id", ids)
        frame["status"] = np.where(assessed, ASSESSED, NOT_ASSESSED)
        frame["reason"], frame["method"] = coverage.reason, coverage.method
        frame["dx_px"], frame["dy_px"] = np.nan_to_num(shift_px).T
        return cls(frame, {name: MEANING[name] for name in evidence.columns}, before, displaced, agreement)

    @classmethod
    def empty(cls, ids: NDArray[np.object_], reason: str | NDArray[np.object_]) -> EvidenceTable:
        """A table of buildings that cannot be assessed, for one reason or each for its own."""
        frame = pd.DataFrame(
            {"id": ids, "status": NOT_ASSESSED, "reason": reason, "method": "", "dx_px": 0.0, "dy_px": 0.0}
        )
        return cls(frame.astype(dict.fromkeys(("status", "reason", "method"), object)), {})

    def without_pre(self) -> EvidenceTable:
        """The same where all buildings are assessed from the post image alone."""
        method = self.frame["method"].where(self.frame["method"] != PRE_POST, POST_ONLY)
        meaning = {name: text for name, text in self.meaning.items() if name not in COMPARED}
        frame = self.frame.drop(columns=[name for name in self.meaning if name in COMPARED])
        return EvidenceTable(frame.assign(method=method), meaning)

    def leave_out(self, reasons: Texts) -> EvidenceTable:
        """The table where assessed buildings with a reason (N,), else '', are not assessed."""
        return replace(self, frame=Buildings(self.frame).leave_out(reasons).frame)

    @property
    def names(self) -> list[str]:
        """The evidence columns."""
        return list(self.meaning)


def assess_coverage(sums: dict[str, BuildingSums], geometry: BuildingGeometry, working_grid: WorkingGrid) -> Coverage:
    """Whether each building can be assessed, and from which images."""
    count = len(geometry.sides)
    pixels = _total(sums, "pixels", count)
    full = geometry.sides.areas
    area = np.maximum(full, pixels)
    with np.errstate(invalid="ignore", divide="ignore"):
        seen_post, seen_pre = (_total(sums, f"{name}_inside", count) / area for name in ("post", "pre"))
        blank = _total(sums, "post_blank", count) / area
        cloudy = _total(sums, "cloud", count) / np.maximum(pixels, 1)
    reason = np.full(count, "", dtype=object)
    few, cut = pixels < (1 - VISIBLE_SHARE) * full, pixels < VISIBLE_SHARE * full
    inside = geometry.inside_share >= VISIBLE_SHARE
    small = (full < SMALLEST_PX) | (full * working_grid.gsd_m**2 < SMALLEST_M2)
    rules = [
        (seen_post < VISIBLE_SHARE, NODATA),
        (cut & ~inside, CUT),
        (small | (few & inside), SMALL),  # slivers enclose no centre of a pixel
        (cloudy > CLOUDY_SHARE, CLOUD),
        ((seen_post < VISIBLE_SHARE) & (blank > (1 - VISIBLE_SHARE) / 2), BLANK),
        (few & ~inside, OUTSIDE),
        (~(full > 0), EMPTY),
    ]
    for rule, text in rules:  # later rules say more about why
        reason[rule] = text
    reason = np.where(geometry.left_out != "", geometry.left_out, reason)
    method = np.where(reason != "", "", np.where(seen_pre >= VISIBLE_SHARE, PRE_POST, POST_ONLY)).astype(object)
    return Coverage(reason, method)


def _total(sums: dict[str, BuildingSums], name: str, count: int) -> NDArray[np.float64]:
    return sums[name][:, 0] if name in sums else np.zeros(count)
