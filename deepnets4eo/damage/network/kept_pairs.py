"""Keep synthetic pairs in files, so that each pair is drawn once and learnt from again.

Drawing a pair takes 0.2 to 0.5 s of one core, reading it 2 ms (AMD EPYC, 2026-11).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.damage.network.pairs import GradedPair
from deepnets4eo.damage.network.recipe import DamageData
from deepnets4eo.jobs import Journal, identity_hash

DRAWN_BY = {
    "world", "styles", "hazards", "left_out_styles", "left_out_hazards", "size_px", "gsd_m", "gsd_spread",
}  # keys of the recipe that a pair depends on  # fmt: skip


@dataclass(frozen=True)
class KeptPairs:
    """Pairs by seed: those in the journal, else drawn and kept; equal in all bits either way."""

    journal: Journal
    make_pair: Callable[[int], GradedPair]

    @classmethod
    def of(
        cls, data: DamageData, folder: Path, make_pair: Callable[[int], GradedPair], drawn_by: str = ""
    ) -> KeptPairs:
        """Return the pairs of a recipe in a separate folder, another folder for other code of this package or of `drawn_by`."""
        settings = data.model_dump(mode="json", include=DRAWN_BY)
        return cls(Journal(folder / identity_hash("pairs", settings, drawn_by)), make_pair)

    @staticmethod
    def kept_in(folder: Path) -> list[Path]:
        """Return the files of all pairs that are kept in a folder, by any recipe."""
        return [file for path in sorted(folder.iterdir()) for file in Journal(path).files()]

    def __call__(self, seed: int) -> GradedPair:
        """Return the pair of a seed. Errors: OutputError if it cannot be kept."""
        kept = self.journal.get(str(seed))
        if kept is None:
            kept = _to_arrays(self.make_pair(seed))
            self.journal.put(str(seed), kept)
        return _from_arrays(kept)


def _to_arrays(pair: GradedPair) -> dict[str, NDArray[Any]]:
    """Return a pair as arrays; outlines as well-known binary, one after the other."""
    outlines = [np.frombuffer(outline.wkb, np.uint8) for outline in pair.outlines]
    return {
        "pre": pair.pre, "post": pair.post, "grades": pair.grades, "truth": pair.truth, "gsd_m": np.array(pair.gsd_m),
        "names": np.array([pair.style, pair.hazard]), "outlines": np.concatenate([*outlines, np.empty(0, np.uint8)]),
        "ends": np.cumsum([len(outline) for outline in outlines], dtype=np.int64),
    }  # fmt: skip


def _from_arrays(arrays: dict[str, NDArray[Any]]) -> GradedPair:
    """Return the pair of `_to_arrays`."""
    wkb = [part.tobytes() for part in np.split(arrays["outlines"], arrays["ends"])[:-1]]
    style, hazard = arrays["names"].tolist()
    return GradedPair(
        arrays["pre"], arrays["post"], np.array(shapely.from_wkb(wkb), dtype=object), arrays["grades"], arrays["truth"],
        float(arrays["gsd_m"]), style, hazard,
    )  # fmt: skip
