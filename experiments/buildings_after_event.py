"""Which buildings are seen where no footprints are given, before and after an event, by their true grade. SYNTHETIC.

Usage: python experiments/buildings_after_event.py --out FOLDER [--buildings RUN] [--sites 46] [--smoke]

Sites of every style, struck by every hazard in turn, of seeds that no training uses. A line a grade of what is to be seen from above:
how many buildings of 20 m² or more there are, and which share of them outlines cover by more than half, in the image before and in the one
after, outlined as the damage job does it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from places.building_scores import find_buildings
from places.results import markdown_table
from places.working_grid import SMALLEST_M2, SourceImage, metric_grid, on_working_grid, outline_mask
from script import plain_errors
from smoke import NOTE, add_smoke

from deepnets4eo.arrays import ByteImage
from deepnets4eo.damage.find_buildings import SHIPPED
from deepnets4eo.damage.vocabulary import GRADES
from deepnets4eo.files import write_json, write_text
from deepnets4eo.segmenters.run import Run, load_run
from deepnets4eo.synthetic.world.hazard import hazard_names
from deepnets4eo.synthetic.world.pair import PairSample
from deepnets4eo.synthetic.world.stream import NO_HAZARD, draw_pair
from deepnets4eo.synthetic.world.style import style_names
from deepnets4eo.synthetic.world.windows import GSD_M

FIRST_SEED, SIZE_PX = 9_800_000, 448
DATES = ("pre", "post")


def struck_sites(count: int) -> Iterator[PairSample]:
    """Pairs of each style in turn, struck by each hazard in turn."""
    hazards = cycle(name for name in hazard_names() if name != NO_HAZARD)
    for number, (style, hazard) in enumerate(islice(zip(cycle(style_names()), hazards, strict=False), count)):
        yield draw_pair(FIRST_SEED + number, style=style, hazard=hazard, size_px=SIZE_PX)


def building_mask(run: Run, image: ByteImage, gsd_m: float) -> NDArray[np.bool_]:
    """(H, W) where outlines lie in an image."""
    shape, sides_m = (image.shape[1], image.shape[2]), (gsd_m, gsd_m)
    scene = on_working_grid(SourceImage(image[:3], sides_m, np.zeros(shape, np.uint8)), GSD_M)
    return outline_mask(find_buildings(run, scene).outlines, metric_grid(shape, sides_m))


def rows_of(run: Run, pair: PairSample) -> Iterator[dict[str, object]]:
    """A row a building: its grade as visible, and whether outlines cover it at each date.

    The building lies where the image before has it; an image after that is off by less than its half still shows it there.
    """
    maps = {date: building_mask(run, getattr(pair, date), pair.gsd_m) for date in DATES}
    for building in np.unique(pair.outlines[pair.outlines > 0]):
        pixels, grade = pair.outlines == building, int(pair.visible[building - 1])
        if pixels.sum() * pair.gsd_m**2 >= SMALLEST_M2 and grade < len(GRADES):
            seen = {date: bool(one[pixels].mean() > 0.5) for date, one in maps.items()}
            yield {"style": pair.style, "hazard": pair.hazard, "grade": GRADES[grade], **seen}


def main() -> None:
    """Outline both dates; table.md and table.json in --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--buildings", type=Path, default=Path("models") / SHIPPED, metavar="RUN")
    parser.add_argument("--sites", type=int, default=46)
    add_smoke(parser)
    options = parser.parse_args()
    if options.smoke:
        options.sites = 1
        print(NOTE)
    run = load_run(options.buildings)
    rows: list[dict[str, object]] = []
    for pair in struck_sites(options.sites):
        rows += rows_of(run, pair)
        print(pair.style, pair.hazard, file=sys.stderr)
    write_json(options.out / "table.json", {"synthetic": True, "rows": rows})
    title = "# SYNTHETIC: share of the buildings that outlines cover, by their visible grade"
    table = markdown_table(["grade", "buildings", "image before", "image after"], list(lines_of(pd.DataFrame(rows))))
    print(write_text(options.out / "table.md", f"{title}\n\n{table}\n").read_text(encoding="utf-8"))


def lines_of(rows: pd.DataFrame) -> Iterator[list[str]]:
    """A line a grade that occurs."""
    for grade in GRADES:
        part = rows[rows["grade"] == grade]
        if len(part):
            yield [grade, str(len(part)), *(f"{part[date].mean():.2f}" for date in DATES)]


if __name__ == "__main__":
    with plain_errors():
        main()
