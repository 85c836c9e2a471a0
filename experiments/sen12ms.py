"""SEN12MS from the weights of BigEarthNet: F over ten classes of land cover, the published transfer beside ours.

Usage: python experiments/sen12ms.py --data SEN12MS --out OUT [--start RUN] [--seeds 0 1 2] [--smoke]

SEN12MS holds ROIs*/s2_SCENE/*_s2_SCENE_pN.tif with 13 bands of Sentinel-2 and ROIs*/lc_SCENE/*_lc_SCENE_pN.tif, whose first band is the cover of IGBP. A class is a patch's label where
it fills a tenth of it; similar classes of IGBP are one. Scenes are drawn: 70 % to learn from, 15 % each to validate and test. RUN is a run of `images/bigearthnet`; rows are with its weights and
with random ones. Writes labels.csv and table.md; what is finished is not run again. Without --data patches are made up (SYNTHETIC).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from script import FEW_STEPS, add_smoke, plain_errors, require_files, title_of

from deepnets4eo.cards import Legend
from deepnets4eo.evaluation import spread
from deepnets4eo.files import read_json, write_text
from deepnets4eo.outputs import csv_text
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic.write import write_raster
from deepnets4eo.training import TrainOptions, train

IGBP = np.array([255, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 5, 7, 8, 9])  # code of IGBP → class of the legend sen12ms
MIN_SHARE = 0.1  # share of a patch that a class fills
PARTS = (("train", 0.7), ("val", 0.85), ("test", 1.0))  # up to which share of the scenes
FIGURES = ("micro_f1", "macro_f1", "macro_ap")
PUBLISHED = "| WRN-B4-ECA from BigEarthNet (Papoutsis et al. 2023, published) | 71.1 (F, kind not stated) | – | – |"


def labels_of(cover: np.ndarray, names: list[str]) -> list[str]:
    """Names of the classes that fill a tenth of a patch (h, w) of IGBP codes."""
    codes = np.where((cover >= 0) & (cover < len(IGBP)), cover, 0).astype(int)
    shares = np.bincount(IGBP[codes].ravel(), minlength=256)[: len(names)] / cover.size
    return [names[index] for index in np.flatnonzero(shares >= MIN_SHARE)]


def write_labels(root: Path, out: Path) -> Path:
    """The table of all patches with a label, by part; scenes are drawn whole."""
    names = Legend.load("sen12ms").names
    patches = require_files(root, "ROIs*/s2_*/*_s2_*_p*.tif")
    scenes = sorted({patch.parent for patch in patches})
    order = dict(zip(np.random.default_rng(0).permutation(len(scenes)), scenes, strict=True))
    position = {scene: (int(rank) + 0.5) / len(scenes) for rank, scene in order.items()}
    rows: list[tuple[str, str, str]] = [("image", "label", "part")]
    for patch in patches:
        cover = Path(str(patch).replace("/s2_", "/lc_").replace("_s2_", "_lc_"))
        require_files(cover.parent, cover.name)
        labels = labels_of(Layer.open(cover, labels=True).read()[0][0], list(names))
        part = next(name for name, most in PARTS if position[patch.parent] <= most)
        if labels:
            rows.append((str(patch.resolve()), ";".join(labels), part))
    return write_text(out / "labels.csv", csv_text(rows))


def make_patches(root: Path) -> Path:
    """Twenty made-up scenes of one patch in the layout of SEN12MS (SYNTHETIC): water or forest, in two tones."""
    rng = np.random.default_rng(0)
    for number in range(20):
        code, tone = ((17, 200), (5, 900))[number % 2]
        image = (tone + rng.normal(0, 30, (13, 64, 64))).astype(np.uint16)
        for kind, values in (("s2", image), ("lc", np.full((4, 64, 64), code, np.uint16))):
            path = root / "ROIs0000_test" / f"{kind}_{number}" / f"ROIs0000_test_{kind}_{number}_p1.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_raster(path, Layer.open(values).grid, values, {"SYNTHETIC": "patches"})
    return root


def main() -> None:
    """Train each row with each seed, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="your copy of SEN12MS; made-up patches without it")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="run of images/bigearthnet whose weights are learnt on")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add_smoke(parser)
    options = parser.parse_args()
    labels = write_labels(options.data or make_patches(options.out / "made-up"), options.out)
    ways = {"random first weights": ()} | (
        {"from BigEarthNet": (f"model.encoder_weights={options.start}",)} if options.start else {}
    )
    title = title_of("SEN12MS" + ("" if options.data else ", made-up patches (SYNTHETIC)"), smoke=options.smoke)
    lines = [f"## {title}", "", "| WRN-B-ECA | micro F1 | macro F1 | macro AP |", "|---|---:|---:|---:|", PUBLISHED]
    for way, keys in ways.items():
        scores = []
        for seed in options.seeds[: 1 if options.smoke else None]:
            run = options.out / f"{way.replace(' ', '-')}-{seed}"
            if not (run / "card.json").exists():
                few = (*FEW_STEPS, "model.options={phi: -1, stride_px: 8}") if options.smoke else ()
                train(
                    "images/sen12ms",
                    run,
                    overrides=[f"data.folders=[{labels}]", f"train.seed={seed}", *keys, *few],
                    options=TrainOptions(overwrite=True),
                )
            scores.append(read_json(run / "metrics.json"))
        cells = [spread([100 * (one.get(name) or float("nan")) for one in scores]) for name in FIGURES]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    print(write_text(options.out / "table.md", "\n".join([*lines, ""])).read_text(encoding="utf-8"))


if __name__ == "__main__":
    with plain_errors():
        main()
