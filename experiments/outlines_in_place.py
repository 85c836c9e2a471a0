"""When outlines lie on their buildings although no offset stands out: the score of the right outlines next to those of other sites.

Usage: python experiments/outlines_in_place.py --data FOLDER --out runs/outlines_in_place [--smoke]

Takes every real place with two images, and puts the outlines of each other place on both of them, from the upper left corner and at
their size on the ground: roofs cannot lie there but by chance. `FootprintAlignment.in_place` should then have the mean 0 and the standard
deviation 1. Stored are both, the number of trials at or above each limit, and the score of each place's own outlines. The damage job
keeps outlines that could not be aligned in place from `IN_PLACE` deviations on; the limit was chosen on these trials.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
from affine import Affine
from places.damage_scores import SITES, DamageCase
from script import NOTE, add_smoke, plain_errors, store_results

from deepnets4eo.damage.placing import IN_PLACE
from deepnets4eo.footprints import MIN_FOOTPRINTS, FootprintAlignment, align_footprints
from deepnets4eo.grid import transform_shapes
from deepnets4eo.rasters import Layer

LIMITS = (2.0, 2.5, IN_PLACE, 3.5, 4.0)
QUICK = 2  # places of --smoke


@dataclass(frozen=True)
class PairOfDates:
    """Both images of a place, and its outlines in metres right of and below the upper left corner of the image after."""

    name: str
    images: tuple[Layer, Layer]
    shapes_m: np.ndarray

    @classmethod
    def of(cls, case: DamageCase) -> PairOfDates | None:
        """Return the place of a case; None without an image before, or with too few outlines."""
        if case.pre is None or len(case.outlines) < MIN_FOOTPRINTS:
            return None
        gsd_m = case.changes.get("gsd_m")
        before, after = (image.as_shown().with_gsd(gsd_m) for image in (case.pre, case.post))
        shapes = np.asarray(case.outlines.geometry.to_numpy(), object)
        if case.post.grid.crs is not None:
            on_image = case.outlines.to_crs(case.post.grid.crs.to_wkt())
            shapes = transform_shapes(~case.post.grid.affine, np.asarray(on_image.geometry.to_numpy(), object))
        return cls(case.name or case.site, (before, after), transform_shapes(Affine.scale(after.gsd_m), shapes))

    def align(self, image: Layer) -> FootprintAlignment:
        """Measure the offset of the outlines, put on any image."""
        grid = image.grid
        shapes = transform_shapes(grid.affine @ Affine.scale(1 / image.gsd_m), self.shapes_m)
        crs = None if grid.crs is None else grid.crs.to_wkt()
        return align_footprints(image, gpd.GeoDataFrame(geometry=shapes, crs=crs), local=False)


def pairs_of(data: Path) -> list[PairOfDates]:
    """Read the places whose samples are there."""
    cases = (case for site in SITES if (data / site.folder).exists() for case in site.read(data / site.folder))
    return [pair for case in cases if (pair := PairOfDates.of(case)) is not None]


def scores(there: list[PairOfDates]) -> tuple[dict[str, list[float]], list[float]]:
    """Return by place the scores of its own outlines on both images, and the scores of outlines of all other places."""
    own, others = {}, []
    for pair in there:
        own[pair.name] = [pair.align(image).in_place for image in pair.images]
        measured = [elsewhere.align(image) for elsewhere in there if elsewhere is not pair for image in pair.images]
        others += [at.in_place for at in measured if at.voters >= MIN_FOOTPRINTS and np.isfinite(at.in_place)]
        print(f"{pair.name}: own {own[pair.name]}, {len(others)} trials so far", file=sys.stderr)
    return own, others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    add_smoke(parser)
    options = parser.parse_args()
    there = pairs_of(options.data)
    own, others = scores(there[:QUICK] if options.smoke else there)
    chance = np.array(others)
    reached = {f"{limit:g}": int((chance >= limit).sum()) for limit in LIMITS}
    print(
        NOTE if options.smoke else "",
        f"{len(chance)} trials, mean {chance.mean():.2f}, deviation {chance.std():.2f}",
        reached,
    )
    store_results(
        options.out, smoke=options.smoke, trials=len(chance), mean=float(chance.mean()), deviation=float(chance.std()),
        reached=reached, largest=float(chance.max()), own=own,
    )  # fmt: skip


if __name__ == "__main__":
    with plain_errors():
        main()
