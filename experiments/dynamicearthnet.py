"""DynamicEarthNet (Toker et al., CVPR 2022): land cover of every month by encoders, ranked by the score of semantic change (SCS).

Usage: python experiments/dynamicearthnet.py --data FOLDER --out OUT [--encoders resnet18 mit_b0 …] [--seeds 0 1 2]
       python experiments/dynamicearthnet.py --out OUT [--smoke]                     (made-up months, SYNTHETIC)

FOLDER holds planet/, labels/ and the published lists train.txt and test.txt; each line names an image folder, a label folder and a month, 2018-01. The
image of the first of the month is learnt from; classes are the six of the published code, snow and ice is void. A U-Net labels each month by
itself, so that every flicker costs SCS, and mean IoU and SCS may rank encoders differently. All areas and months are counted together.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from affine import Affine
from change_pairs import publish, table
from script import FEW_STEPS, add_smoke, plain_errors, require_files, title_of

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.change import SemanticChangeScore
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json, write_json
from deepnets4eo.grid import Grid, whole
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import NetworkSegmenter, load_run
from deepnets4eo.synthetic.write import write_raster
from deepnets4eo.training import TrainOptions, train

SNOW = 6  # of the seven bands of the label files, from 0
ENCODERS = ("resnet18", "resnet34", "efficientnet-b0", "mobilenet_v2", "mit_b0")
COLUMNS = ("SCS", "BC", "SC", "mean IoU")
PUBLISHED = "- Published figures are not listed: the paper's table could not be read at its source."
SPECTRA = np.array(
    [[40, 60, 50, 350], [60, 90, 80, 290], [30, 50, 40, 260], [50, 70, 90, 150], [120, 130, 140, 180], [50, 40, 30, 20]]
)
Months = Mapping[str, Sequence[Mapping[str, str]]]  # area → image and labels of each month


def read_labels(path: Path) -> ByteImage:
    """(H, W) class indices from a file of seven bands with 255 in the band of a pixel's class; void for snow, and where no band or several are set."""
    layer = Layer.open(path, labels=True)
    bands = layer.as_stored().read(whole(layer.grid))[0] == VOID
    labels = np.where(bands.sum(axis=0) == 1, bands.argmax(axis=0), VOID)
    return np.where(labels == SNOW, VOID, labels).astype(np.uint8)


def six_classes() -> Legend:
    """The legend without snow and ice."""
    plain = Legend.load("dynamicearthnet").to_dict()
    classes = [one for one in plain["classes"] if "snow" not in one["name"]]
    return Legend.from_dict(
        plain | {"name": "dynamicearthnet-6", "classes": [one | {"value": n} for n, one in enumerate(classes)]}
    )


def published_months(root: Path, part: str, out: Path, legend: Legend) -> Months:
    """The months of a list, whose labels are written once as one band."""
    areas: dict[str, list[dict[str, str]]] = {}
    for line in require_files(root, f"**/{part}.txt")[0].read_text(encoding="utf-8").splitlines():
        words = line.split()
        if len(words) != 3:
            raise InputError(
                f"{part}.txt: {line!r} has {len(words)} words, expected an image folder, a label folder and a month."
            )
        images, labels = (root / word.lstrip("/") for word in words[:2])
        image = require_files(images, f"{words[2]}-01.tif")[0]
        (source,) = require_files(labels, f"*{words[2].replace('-', '?')}?01.tif")[:1]
        target = out / "labels" / labels.parent.name / labels.name / f"{words[2]}.tif"
        if not target.exists():
            write_raster(target, Layer.open(source).grid, read_labels(source), {}, legend)
        areas.setdefault(images.as_posix(), []).append({"image": str(image), Scene.label_layer: str(target)})
    return {area: sorted(months, key=lambda one: one["image"]) for area, months in areas.items()}


def made_up_months(seeds: Sequence[int], out: Path, legend: Legend, size_px: int) -> Months:
    """Areas of smooth patches, light that differs by month, and squares whose class changes (SYNTHETIC)."""
    from scipy.ndimage import gaussian_filter

    areas = {}
    grid = Grid((size_px, size_px), Affine(3, 0, 500_000, 0, -3, 5_000_000), "EPSG:32633")
    for seed in seeds:
        rng = np.random.default_rng(seed)
        classes = gaussian_filter(rng.normal(size=(len(SPECTRA), size_px, size_px)), (0, 9, 9)).argmax(axis=0)
        months = []
        for month in range(1, 7):
            row, col = rng.integers(0, size_px - 24, 2)
            classes[row : row + 24, col : col + 24] = rng.integers(len(SPECTRA))
            image = SPECTRA[classes].transpose(2, 0, 1) * rng.uniform(0.8, 1.2, (4, 1, 1)) + rng.normal(
                0, 12, (4, size_px, size_px)
            )
            files = {
                name: out / f"area-{seed}" / f"2018-{month:02d}-{name}.tif" for name in ("image", Scene.label_layer)
            }
            if not files[Scene.label_layer].exists():
                write_raster(files["image"], grid, image.clip(1).astype(np.uint16), {"SYNTHETIC": "yes"})
                write_raster(files[Scene.label_layer], grid, classes.astype(np.uint8), {"SYNTHETIC": "yes"}, legend)
            months.append({name: str(path) for name, path in files.items()})
        areas[f"area-{seed}"] = months
    return areas


def score(run: Path, areas: Months, classes: int) -> list[float]:
    """SCS, BC, SC and mean IoU over all areas and months, 0 to 1."""
    segmenter = load_run(run).segmenter
    assert isinstance(segmenter, NetworkSegmenter)
    change, matrix = SemanticChangeScore(classes), ConfusionMatrix(classes)
    for months in areas.values():
        samples = [scene.read(whole(scene.grid)) for scene in (Scene.open(None, **one) for one in months)]
        maps = np.stack([segmenter.predict_classes(segmenter.inputs.prepare(one)[None])[0] for one in samples])
        reference = np.stack([np.where(one["valid"], one[Scene.label_layer], VOID) for one in samples])
        change.update(reference, maps)
        matrix.update(reference, maps)
    return np.nan_to_num([change.score, change.binary_change, change.semantic_change, matrix.mean_iou]).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), help="of smp, or tu-NAME of timm")
    parser.add_argument("--encoder-weights", help="first weights, e.g. imagenet")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add_smoke(parser)
    options = parser.parse_args()
    out, smoke, legend = options.out, options.smoke, six_classes()
    keys = ["data.split=scenes", "data.tile_px=512", "train.batch_size=4", "data.sampling=random"]
    if options.data is None:
        size_px = 64 if smoke else 192
        learnt, tested = (made_up_months(seeds, out / "made-up", legend, size_px) for seeds in ((1, 2, 3), (4, 5)))
        keys += [
            "data.tile_px=64",
            "data.windows_per_epoch=160",
            "train.epochs=6",
            "train.batch_size=8",
            "data.num_workers=0",
        ]
    else:
        learnt, tested = (published_months(options.data, part, out, legend) for part in ("train", "test"))
    scenes = [{"name": f"{n}-{m}", **one} for n, months in enumerate(learnt.values()) for m, one in enumerate(months)]
    write_json(out / "scenes.json", scenes)
    weights = [f"model.encoder_weights={options.encoder_weights}"] if options.encoder_weights else []
    rows: dict[str, list[list[float]]] = {}
    for encoder in options.encoders:
        for seed in options.seeds[: 1 if smoke else None]:
            run = out / f"{encoder}-{seed}"
            if not (done := run.with_suffix(".json")).exists():
                plain = [
                    f"model.encoder={encoder}",
                    f"train.seed={seed}",
                    f"data.scenes={(out / 'scenes.json').read_text()}",
                    *weights,
                ]
                plain += [f"legend={out / 'legend.yaml'}", *keys, *((*FEW_STEPS, "data.tile_px=64") if smoke else ())]
                write_json(out / "legend.yaml", legend.to_dict())
                train("unet-resnet34", run, overrides=plain, options=TrainOptions(overwrite=True))
                write_json(done, score(run, tested, legend.num_classes))
            for number, value in enumerate(read_json(done)):
                rows.setdefault(encoder, [[] for _ in COLUMNS])[number].append(value)
    ranked = dict(sorted(rows.items(), key=lambda row: -np.mean(row[1][0])))
    title = "DynamicEarthNet" if options.data is not None else "Land cover of made-up months (SYNTHETIC)"
    publish(out, table(title_of(f"{title}, encoders by SCS", smoke=smoke), COLUMNS, ranked, [PUBLISHED]))


if __name__ == "__main__":
    with plain_errors():
        main()
