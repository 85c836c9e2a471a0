"""Water in optical images of 0.5 m: made-up places with the truth of every pixel, and houses in flood water at real ones.

Usage: python experiments/optical_floods.py [--data FOLDER] [--seeds 3] [--size-px 768] [--words FILE [--before FILE] [--only PLACE]]

Made-up places (SYNTHETIC) are of the styles and the hazard that the network of models/floods/water did not learn from; the pixels of
all places are counted together, without those where a crown hides water. Dry are places that no flood struck, the rivers and
ponds of which are no new water. A plain way comes along: smooth, large, and not smooth before.

FOLDER holds the sample sets by name; what is missing is left out. At real places a house counts as inundated where new water fills
more than 0.4 of the ring of 2 to 12 m around it, or more than half of the nearest ground that is seen, as in the damage job; where there is no image before, any water. The constants of
the surfaces were chosen while looking at midwest-flooding_00000000 and _00000006, those of the network on made-up places alone.

With --words only what `flood` and `damage` say at whole places is measured, kept in FILE, and printed beside an earlier FILE.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from places.damage_scores import SITES, DamageCase
from places.water_words import measure_words, words_table
from scipy import ndimage
from script import plain_errors, require_files
from world import draw_pair, hazard_names
from world.water_windows import WATER, water_classes

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import model_path
from deepnets4eo.damage.images.dates import in_colour
from deepnets4eo.damage.table.vocabulary import DAMAGED
from deepnets4eo.files import read_json, read_yaml
from deepnets4eo.floods import WaterMapper, optical_water, surface_scene, water_around, write_seen_water
from deepnets4eo.floods.buildings import YES
from deepnets4eo.floods.thresholds import DRY, FLOOD, PERMANENT_WATER, parts_with
from deepnets4eo.floods.water_network import SHIPPED, SceneTone, open_water_network
from deepnets4eo.grid import mean_gsd_m, transform_shapes
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Layer, Scene

GSD_M = 0.5
WET, DRY_HAZARDS = ("tsunami", "flood", "lahar"), ("none", "hurricane", "wildfire")
REAL = ("joplin", "xbd_midwest", "xbd_post_scenes", "vegas", "kampala", "potsdam", "joplin before")
VOID = 255
PLAIN_PX, PLAIN_SD, PLAIN_M2 = 7, 4.0, 3000.0  # of the plain way: window, deviation of grey, least surface

Way = Callable[[ByteImage, ByteImage], ByteImage]


def by_plain_way(pre: ByteImage, post: ByteImage) -> ByteImage:
    """Classes by smoothness alone: large smooth surfaces, new where the ground was not smooth before."""
    smooth = []
    for image in (pre, post):
        grey = image.mean(axis=0, dtype=np.float32)
        mean = ndimage.uniform_filter(grey, PLAIN_PX)
        deviation = np.sqrt(np.maximum(ndimage.uniform_filter(grey * grey, PLAIN_PX) - mean * mean, 0))
        smooth.append(ndimage.binary_opening(deviation < PLAIN_SD, np.ones((PLAIN_PX, PLAIN_PX))))
    water = parts_with(smooth[1], smooth[1], PLAIN_M2)
    new = parts_with(water & ~smooth[0], water & ~smooth[0], PLAIN_M2)
    return np.where(new, FLOOD, np.where(water, PERMANENT_WATER, DRY)).astype(np.uint8)


def ways() -> dict[str, Way]:
    """Every way to find water in images of 1 m, by its name."""
    network = open_water_network()

    def by_default(pre: ByteImage, post: ByteImage) -> ByteImage:
        assert network is not None
        seen = np.ones(post.shape[1:], bool)
        images = [image.astype(np.float32) for image in (pre, post)]
        before, after = (network.probability(image, seen, SceneTone.measure(image, seen)) for image in images)
        return optical_water(pre, post, gsd_m=1.0, before_water=before, after_water=after)

    known: dict[str, Way] = {"plain": by_plain_way, "surfaces": lambda pre, post: optical_water(pre, post, gsd_m=1.0)}
    return known if network is None else known | {"default": by_default}


def average_pixels(image: ByteImage) -> ByteImage:
    """(3, h, w) means of two by two pixels."""
    bands, rows, cols = image.shape
    return np.rint(image.reshape(bands, rows // 2, 2, cols // 2, 2).mean((2, 4))).astype(np.uint8)


class Score(NamedTuple):
    """Counts of dry ground and water in POST, and of what is new water there and what is not."""

    water: ConfusionMatrix
    new: ConfusionMatrix


def made_up(seeds: int, size_px: int) -> None:
    """Print IoU by hazard and way, the share of dry places called water, and the speed."""
    left_out = read_yaml(model_path(SHIPPED) / "recipe.yaml")["data"]["left_out_styles"]
    scores: dict[tuple[str, str], Score] = defaultdict(lambda: Score(ConfusionMatrix(2), ConfusionMatrix(2)))
    seconds: dict[str, float] = defaultdict(float)
    pixels = 0
    for style in left_out:
        for hazard in (*WET, *DRY_HAZARDS):
            for seed in range(1, seeds + 1):
                number = 5_000_000 + 10 * seed + hazard_names().index(hazard)
                pair = draw_pair(number, style=style, hazard=hazard, size_px=size_px, gsd_m=GSD_M)
                before, after = (water_classes(pair, date)[::2, ::2] for date in ("pre", "post"))
                pre, post = average_pixels(pair.pre[:3]), average_pixels(pair.post[:3])
                seen, pixels = (before != VOID) & (after != VOID), pixels + before.size
                for name, way in ways().items():
                    start = time.process_time()
                    classes = way(pre, post)
                    seconds[name] += time.process_time() - start
                    for key in (hazard, "dry" if hazard in DRY_HAZARDS else "wet"):
                        score = scores[key, name]
                        score.water.update(
                            (after == WATER).astype(np.uint8), (classes > DRY).astype(np.uint8), after != VOID
                        )
                        new = (after == WATER) & (before != WATER)
                        score.new.update(new.astype(np.uint8), (classes == FLOOD).astype(np.uint8), seen)
    heads = [f"{kind}, {hazard}" for kind in ("water", "new water") for hazard in WET]
    print(
        f"| SYNTHETIC, IoU | {' | '.join(heads)} | dry places called new water | MPix/s |\n|---|{'---|' * (len(heads) + 2)}"
    )
    for name in seconds:
        values = [float(getattr(scores[hazard, name], kind).iou[1]) for kind in ("water", "new") for hazard in WET]
        false = scores["dry", name].new.matrix[:, 1].sum() / scores["dry", name].new.matrix.sum()
        print(
            f"| {name} | {' | '.join(f'{value:.3f}' for value in values)} | {false:.2%} | {pixels / 1e6 / seconds[name]:.2f} |"
        )


class Count(NamedTuple):
    """Buildings of a place that stand in water by one way, among those that official grades call damaged, and the others."""

    damaged: int
    others: int


def real_cases(data: Path) -> Iterator[DamageCase]:
    """Yield the two dates of xBD and Joplin, and single images of dry ground; sites that are not there are left out."""
    for folder in sorted([*data.glob("xbd_more/*/"), *data.glob("events_more/*/")]):
        table = gpd.read_file(folder / "footprints_px.geojson")
        if "grade" not in table.columns:
            continue
        truth = pd.DataFrame({"id": table["id"].astype(str), "damage": table["grade"]})
        outlines = gpd.GeoDataFrame({"id": truth["id"]}, geometry=np.asarray(table.geometry, object))
        pre, post = (Layer.open(require_files(folder, f"{date}.png", f"{date}.tif")[0]) for date in ("pre", "post"))
        yield DamageCase(folder.name, pre, post, outlines, truth)
    for site in SITES:
        if site.name in REAL and (data / site.folder).is_dir():
            yield from site.read(data / site.folder)


def water_of_case(
    case: DamageCase, mapper: WaterMapper, scene: Scene, options: PredictOptions | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where a mapper sees new water (h, w), and which buildings of the case are in water."""
    post = case.post.with_gsd(GSD_M) if case.post.grid.crs is None else case.post
    outlines = case.outlines
    shapes = outlines.geometry.to_numpy()
    if outlines.crs is None:
        shapes = transform_shapes(post.grid.affine, shapes)
    elif not outlines.crs.equals(post.grid.crs):
        shapes = outlines.to_crs(str(post.grid.crs)).geometry.to_numpy()
    with tempfile.TemporaryDirectory() as folder:
        labels, seen = Path(folder) / "water.tif", Path(folder) / "water_seen.tif"
        predict(mapper, scene, labels, options)
        write_seen_water(Layer.open(labels), scene.layers["post"], mapper.inputs.gsd_m or 1.0, seen)
        new = Layer.open(labels).read()[0][0] == FLOOD
        return new, np.asarray(water_around(Layer.open(seen), shapes, any_water=case.pre is None).inundated == YES)


def count_inundated(case: DamageCase, mapper: WaterMapper, scene: Scene) -> Count:
    """Count buildings in water by the map of a mapper."""
    inundated = water_of_case(case, mapper, scene)[1]
    grades = dict(zip(case.truth["id"], case.truth["damage"], strict=True))
    damaged = np.array([grades.get(name) in DAMAGED for name in case.outlines["id"].astype(str)])
    return Count(int((inundated & damaged).sum()), int((inundated & ~damaged).sum()))


def fine_scene(case: DamageCase) -> Scene:
    """Return the images of a case in colour and on the grid of its water."""
    pre, post = (
        image and in_colour(image.with_gsd(GSD_M) if image.grid.crs is None else image)
        for image in (case.pre, case.post)
    )
    assert post is not None
    return surface_scene(pre, post, mean_gsd_m(post.grid))


def real(data: Path) -> None:
    """Print the buildings in water of every real place, by surfaces and by default."""
    print(
        "| place | buildings | damaged | in water: damaged, others, by surfaces | by default | seconds |\n|---|---|---|---|---|---|"
    )
    for case in real_cases(data):
        scene = fine_scene(case)
        mapper = WaterMapper.of_scene(scene)
        network, counts = mapper.network, {}
        start = time.perf_counter()
        for name, chosen in {"surfaces": None, "default": network}.items():
            mapper.network = chosen
            counts[name] = count_inundated(case, mapper, scene)
        damaged = int(case.truth["damage"].isin(DAMAGED).sum())
        cells = [f"{one.damaged}, {one.others}" for one in counts.values()]
        took = time.perf_counter() - start
        print(
            f"| {case.site} {case.name} | {len(case.outlines)} | {damaged} | {' | '.join(cells)} | {took:.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real samples; left out: made-up places alone")
    parser.add_argument(
        "--seeds", type=int, default=3, help="made-up places of each style and hazard; 0: real places alone"
    )
    parser.add_argument("--size-px", type=int, default=768)
    parser.add_argument("--words", type=Path, help="JSON of what the jobs say, which a later call goes on with")
    parser.add_argument("--before", type=Path, help="such a JSON of another state of the toolbox")
    parser.add_argument("--only", default="", help="part of the names of the places")
    arguments = parser.parse_args()
    if arguments.words:
        rows = measure_words(arguments.data, arguments.words, arguments.only)
        print(words_table(rows, read_json(arguments.before) if arguments.before else {}))
        return
    if arguments.seeds:
        made_up(arguments.seeds, arguments.size_px)
    if arguments.data:
        require_files(arguments.data, "xbd_more/*/post.png", *(site.folder for site in SITES))
        real(arguments.data)


if __name__ == "__main__":
    with plain_errors():
        main()
