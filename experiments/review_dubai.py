"""Train, predict and review on a real scene: Dubai (CC0), whose published mask answers the sample in place of a person.

Usage: python experiments/review_dubai.py --data FOLDER --out OUT [--looks 200] [--smoke]

FOLDER has tile_1 … tile_6 with images/*.jpg and masks/*.png. A random forest learns from tiles 1 to 4 and maps part 7 of tile 5, which was
chosen because it shows all five classes. Pixels without a class in the mask stay undecided. Prints what the review states
next to what all pixels of the mask give, and writes the same as table.md, and review.jpg: the scene with its points, and the map.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from dubai import tiff_of
from equal_steps import DUBAI, dubai_tiles
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from script import FEW_SAMPLES, add_smoke, plain_errors, title_of

from deepnets4eo.cards import VOID
from deepnets4eo.evaluation import MapReview
from deepnets4eo.evaluation.sampled.estimates import MapAccuracy
from deepnets4eo.files import write_text
from deepnets4eo.outputs.served_page import Answers
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.training import TrainOptions, train

SCENE, LEARNT = "tile_5-image_part_007", ("tile_1-", "tile_2-", "tile_3-", "tile_4-")
PANEL_PX, GAP_PX, DISC_PX = 520, 10, 4
RIGHT, WRONG = (255, 255, 255), (255, 0, 90)
Indices = NDArray[np.uint8]


def map_scene(folder: Path, out: Path, *, smoke: bool) -> tuple[Path, Path, Path]:
    """Train, and predict the scene; returns image, map and reference."""
    parts = dubai_tiles(folder, out / "labels")
    learnt = [files for name, files in parts.items() if name.startswith(LEARNT)]
    for number, files in enumerate(learnt[: 2 if smoke else None]):
        files["image"] = str(tiff_of(Path(files["image"]), out / "images" / f"{number}.tif"))
    image = tiff_of(Path(parts[SCENE]["image"]), out / "scene.tif")
    keys = [f"data.scenes={json.dumps(learnt[: 2 if smoke else None])}", f"legend={json.dumps(DUBAI.to_dict())}"]
    keys += ["data.val_share=0", "train.seed=0", *(FEW_SAMPLES if smoke else ())]
    run = train("baselines/random-forest", out / "run", overrides=keys, options=TrainOptions(overwrite=True))
    mapped = predict(run, Scene.open(None, image=str(image)), out / "labels.tif", PredictOptions(overwrite=True))
    return image, mapped.paths[Scene.label_layer], Path(parts[SCENE][Scene.label_layer])


def indices_of(path: Path) -> Indices:
    """Return class indices (H, W) of a label raster, void 255."""
    labels: Indices = DUBAI.to_index()[Layer.open(path, labels=True).read()[0][0]]
    return labels


def answer_by(review: MapReview, truth: Indices) -> list[tuple[int, int]]:
    """Answer each point by the reference, in order; returns (row, column) of each."""
    points = []
    for row in Answers(review.path).rows():
        at = tuple(int(word.split()[1]) for word in row.id.split(", "))
        label = int(truth[at])
        answer = "cannot-tell" if label == VOID else DUBAI.names[label]
        Answers(review.path, "the mask").commit(row.fid, answer, None, (None, None))
        points.append((at[0], at[1]))
    return points


def table_of(result: MapAccuracy, mapped: Indices, truth: Indices, title: str) -> str:
    """Return the table of what the review states and what all pixels give."""
    known = truth != VOID
    lines = [f"## {title}", "", "| quantity | review, with its 95 % interval | all pixels |", "|---|---|---:|"]
    estimate = result.estimate

    def line(name: str, value: float, limits: Any, true: float) -> None:
        lines.append(f"| {name} | {value:.1%} ({limits[0]:.1%} to {limits[1]:.1%}) | {true:.1%} |")

    line("right in", estimate.overall_accuracy, estimate.overall_accuracy_interval, (mapped == truth)[known].mean())
    for number, name in enumerate(DUBAI.names):
        of_map = float((mapped == number).mean())
        area = estimate.area[number], estimate.area_interval[number]
        line(f"area of {name} (counted on the map: {of_map:.1%})", *area, (truth == number)[known].mean())
    return "\n".join([*lines, ""])


def picture(image: Path, mapped: Indices, truth: Indices, points: list[tuple[int, int]]) -> Image.Image:
    """Draw the scene with its points, white where the map is right and red where it is wrong, and the map."""
    height, width = mapped.shape
    scale = PANEL_PX / width
    size = (PANEL_PX, round(height * scale))
    colours = np.array([one.color for one in DUBAI.classes] + [(0, 0, 0)] * (256 - DUBAI.num_classes), np.uint8)
    ground = Image.fromarray(np.ascontiguousarray(np.moveaxis(Layer.open(image).read()[0][:3], 0, 2))).resize(size)
    sheet = Image.new("RGB", (2 * PANEL_PX + GAP_PX, size[1]), (255, 255, 255))
    draw = ImageDraw.Draw(ground)
    for row, col in points:
        if truth[row, col] != VOID:
            x, y = (col + 0.5) * scale, (row + 0.5) * scale
            colour = RIGHT if mapped[row, col] == truth[row, col] else WRONG
            draw.ellipse((x - DISC_PX, y - DISC_PX, x + DISC_PX, y + DISC_PX), fill=colour, outline=(0, 0, 0))
    sheet.paste(ground, (0, 0))
    sheet.paste(Image.fromarray(colours[mapped]).resize(size, Image.Resampling.NEAREST), (PANEL_PX + GAP_PX, 0))
    return sheet


def main() -> None:
    """Train, predict, draw, answer and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of tile_1 … tile_6")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--looks", type=int, default=200)
    add_smoke(parser)
    options = parser.parse_args()
    out = options.out / "smoke" if options.smoke else options.out
    image, labels, reference = map_scene(options.data, out, smoke=options.smoke)
    mapped, truth = indices_of(labels), indices_of(reference)
    sample = out / "labels_review.gpkg"
    sample.unlink(missing_ok=True)
    review = MapReview.draw(labels, sample, looks=options.looks, images=[image])
    points = answer_by(review, truth)
    result, _ = review.write()
    assert isinstance(result, MapAccuracy)
    text = table_of(result, mapped, truth, title_of(f"Review by {len(points)} points", smoke=options.smoke))
    write_text(out / "table.md", text)
    picture(image, mapped, truth, points).save(out / "review.jpg", quality=72)
    print(result.headline(), *result.lines(), "", text, sep="\n")


if __name__ == "__main__":
    with plain_errors():
        main()
