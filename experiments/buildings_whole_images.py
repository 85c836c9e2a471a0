"""How well buildings are found in whole made-up images, by how sure the network has to be of an outline. SYNTHETIC.

Usage: python experiments/buildings_whole_images.py --out FOLDER [--buildings RUN] [--images 4] [--other-sensor] [--smoke]

Images of intact places of every style, of seeds that no training uses, labelled and outlined as users do; --other-sensor shows them as
another sensor would. A line for each least probability of an outline (`damage.find_buildings`): mean over the styles of the IoU of what
the outlines cover, and of F1, precision and recall of objects at an IoU of 0.5. Roofs that are mostly under crowns, or smaller than
20 m², count neither way. Then a line a style with all outlines, and with those that the damage job keeps.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from places.building_scores import BuildingMap, BuildingScores, find_buildings, score_buildings
from places.results import markdown_table
from places.working_grid import BuildingScene, SourceImage, on_working_grid, outline_mask, regions_of
from script import plain_errors
from smoke import NOTE, add_smoke

from deepnets4eo.cards.legend import VOID
from deepnets4eo.damage.find_buildings import LEAST_PROBABILITY, SHIPPED
from deepnets4eo.damage.outline_probability import PROBABILITY
from deepnets4eo.files import write_json, write_text
from deepnets4eo.segmenters.run import Run, load_run
from deepnets4eo.synthetic.world.pair import PairSample
from deepnets4eo.synthetic.world.sensor_variation import SensorVariation
from deepnets4eo.synthetic.world.stream import NO_HAZARD, draw_pair
from deepnets4eo.synthetic.world.style import style_names
from deepnets4eo.synthetic.world.windows import BACKGROUND, GSD_M, building_classes

FIRST_SEED, SIZE_PX = 9_700_000, 512
LEAST = (0.0, 0.65, LEAST_PROBABILITY, 0.75, 0.8, 0.85)
SCORES = ("iou", "object_f1", "object_precision", "object_recall")
HIDDEN = 0.5  # share of a roof under crowns above which it counts neither way


def scene_of(pair: PairSample, variation: SensorVariation | None, seed: int) -> BuildingScene:
    """The image before with its roofs, on working pixels."""
    classes = building_classes(pair.roofs_pre, pair.labels_pre, pair.height_pre)
    mask = np.where(classes == VOID, VOID, classes != BACKGROUND).astype(np.uint8)
    outlines, hidden = [], []
    for number in np.unique(pair.roofs_pre[pair.roofs_pre > 0]):
        roof = pair.roofs_pre == number
        outlines.append(_largest_region(roof))
        hidden.append((mask[roof] == VOID).mean() > HIDDEN)
    image = pair.pre[:3] if variation is None else variation(pair.pre, np.random.default_rng(seed))
    source = SourceImage(image, (pair.gsd_m, pair.gsd_m), mask, np.array(outlines, dtype=object))
    scene = on_working_grid(source, GSD_M)
    scene.objects["difficult"] |= np.array(hidden, bool)
    return scene


def scenes_of(style: str, images: int, variation: SensorVariation | None) -> Iterator[BuildingScene]:
    """Scenes of a style that show a building."""
    for seed in range(FIRST_SEED, FIRST_SEED + images):
        scene = scene_of(draw_pair(seed, style=style, hazard=NO_HAZARD, size_px=SIZE_PX), variation, seed)
        if (scene.reference == 1).any():
            yield scene


def scores_of(scene: BuildingScene, outlines: gpd.GeoDataFrame) -> BuildingScores:
    """Objects, and the pixels that outlines cover."""
    covered = outline_mask(outlines, scene.grid).astype(np.float32)
    return score_buildings(scene, BuildingMap(covered, outlines))


def rows_of(
    run: Run, style: str, scenes: Sequence[BuildingScene], least: Sequence[float]
) -> Iterator[dict[str, object]]:
    """A row for each least probability."""
    of_scenes = [find_buildings(run, scene, 0.0).outlines for scene in scenes]
    for value in least:
        scores = [
            scores_of(scene, outlines[outlines[PROBABILITY] >= value])
            for scene, outlines in zip(scenes, of_scenes, strict=True)
        ]
        yield {"style": style, "least": value, **reduce(add, scores).to_dict()}


def _largest_region(roof: NDArray[np.bool_]) -> shapely.Polygon:
    regions = regions_of(roof.astype(np.uint8))
    return regions[np.argmax(shapely.area(regions))]


def main() -> None:
    """Label, outline, score; table.md and table.json in --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--buildings", type=Path, default=Path("models") / SHIPPED, metavar="RUN")
    parser.add_argument("--images", type=int, default=4, help="of each style")
    parser.add_argument("--other-sensor", action="store_true")
    add_smoke(parser)
    options = parser.parse_args()
    styles = style_names()
    if options.smoke:
        options.images, styles = 1, styles[:1]
        print(NOTE)
    run, variation = load_run(options.buildings), SensorVariation() if options.other_sensor else None
    rows: list[dict[str, object]] = []
    for style in styles:
        if scenes := list(scenes_of(style, options.images, variation)):
            rows += rows_of(run, style, scenes, LEAST)
            print(style, file=sys.stderr)
    write_json(options.out / "table.json", {"synthetic": True, "rows": rows})
    title = "# SYNTHETIC: buildings of whole images, by the least probability of an outline"
    table = write_text(options.out / "table.md", f"{title}\n\n{tables_of(pd.DataFrame(rows))}\n")
    print(table.read_text(encoding="utf-8"))


def tables_of(rows: pd.DataFrame) -> str:
    """Means over the styles, then F1 by style."""
    means = rows.groupby("least")[list(SCORES)].mean().rename(index="{:g}".format)
    f1 = rows.pivot(index="style", columns="least", values="object_f1")[[LEAST[0], LEAST_PROBABILITY]]
    return "\n\n".join(
        [
            markdown_table(["least probability", "IoU of outlines", "F1", "precision", "recall"], _lines_of(means)),
            markdown_table(["style", "F1, all outlines", "F1, kept"], _lines_of(f1)),
        ]
    )


def _lines_of(table: pd.DataFrame) -> list[list[str]]:
    return [
        [str(name), *(f"{value:.3f}" for value in line)]
        for name, line in zip(table.index, table.to_numpy(), strict=True)
    ]


if __name__ == "__main__":
    with plain_errors():
        main()
