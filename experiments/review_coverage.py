"""How often the intervals of `review` contain the truth: a land-cover map of Dubai (CC0), whose own reference answers the sample.

Usage: python experiments/review_coverage.py --data FOLDER --out OUT [--draws 200] [--smoke]

FOLDER has tile_1 … tile_6 with images/*.jpg and masks/*.png. A random forest learns from tiles 1 to 5; its map of tile 6, nine parts one below the other,
is reviewed. Points without a reference are left out of the map. The share of the draws whose interval contains the value of all pixels is counted for the
intervals that are reported and for the published margins; and how often a part called trusted is right in less than 90 % of its area. A second map is the
first, with each pixel of the majority of its 15 × 15 neighbours: samples of where both differ decide which is right more often. Writes coverage.json and table.md.
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
from scipy.ndimage import uniform_filter
from script import add_smoke, plain_errors, title_of

from deepnets4eo.cards import VOID
from deepnets4eo.evaluation.sampled.draw import share_out
from deepnets4eo.evaluation.sampled.estimates import estimate_difference
from deepnets4eo.evaluation.sampled.trusted import trusted_classes, trusted_zone
from deepnets4eo.files import write_json, write_text
from deepnets4eo.metrics import area_adjusted
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import load_run
from deepnets4eo.training import TrainOptions, train

LOOKS, MAJORITY_PX = (60, 100, 200, 400), 15
QUANTITIES = ("users_accuracy", "producers_accuracy", "area")
Array = NDArray[Any]


def map_of(folder: Path, out: Path, *, smoke: bool) -> tuple[Array, Array, Array]:
    """Return indices of map and truth (H, W), void 255, and the probability of the mapped class, of tile 6."""
    parts = dubai_tiles(folder, out / "labels")
    for name, files in parts.items():
        files["image"] = str(tiff_of(Path(files["image"]), out / "images" / f"{name}.tif"))
    tested = {name: files for name, files in parts.items() if name.startswith("tile_6")}
    learnt = [files for name, files in parts.items() if name not in tested]
    keys = [f"data.scenes={json.dumps(learnt[: 2 if smoke else None])}", f"legend={json.dumps(DUBAI.to_dict())}"]
    keys += ["data.val_share=0", "train.seed=0"]
    if not (out / "run.json").exists():
        train("baselines/random-forest", out / "run", overrides=keys, options=TrainOptions(overwrite=True))
        write_json(out / "run.json", keys)
    run = load_run(out / "run")
    maps, truths, sure = [], [], []
    for name, files in list(tested.items())[: 1 if smoke else None]:
        options = PredictOptions(overwrite=True, probabilities=out / f"{name}-probabilities.tif")
        paths = predict(run, Scene.open(None, image=files["image"]), out / f"{name}.tif", options).paths
        indices = [
            DUBAI.to_index()[Layer.open(path, labels=True).read()[0][0]]
            for path in (paths[Scene.label_layer], files[Scene.label_layer])
        ]
        maps.append(indices[0])
        truths.append(indices[1])
        sure.append(Layer.open(paths["probabilities"]).read()[0].max(axis=0))
    mapped, truth = np.concatenate(maps), np.concatenate(truths)
    return np.where(truth == VOID, VOID, mapped).astype(np.uint8), truth, np.concatenate(sure)


def majority_of(mapped: Array) -> Array:
    """Return the most frequent class around each pixel."""
    votes = [uniform_filter((mapped == one).astype(np.float32), MAJORITY_PX) for one in range(DUBAI.num_classes)]
    return np.where(mapped == VOID, VOID, np.argmax(votes, axis=0)).astype(np.uint8)


def main() -> None:
    """Draw, answer and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of tile_1 … tile_6")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--draws", type=int, default=200)
    add_smoke(parser)
    options = parser.parse_args()
    out = options.out / "smoke" if options.smoke else options.out
    draws, names = 2 if options.smoke else options.draws, DUBAI.names
    mapped, truth, sure = map_of(options.data, out, smoke=options.smoke)
    known = mapped != VOID
    other = majority_of(mapped)[known]
    mapped, truth, sure = mapped[known].astype(int), truth[known].astype(int), sure[known]
    number, pixels = len(names), np.bincount(mapped, minlength=len(names))
    whole = np.bincount(mapped * number + truth, minlength=number**2).reshape(number, -1)
    area = pixels / pixels.sum()
    all_of = area_adjusted(whole, area)
    right = [float((labels == truth).mean()) for labels in (mapped, other)]
    content: dict[str, Any] = {"truth": all_of.to_dict(names), "accuracy": right, "coverage": {}, "difference": {}}
    limits = np.quantile(sure, 1 - np.arange(1, 11) / 10)
    zone = np.searchsorted(-limits, -sure)
    areas = np.cumsum([np.bincount(mapped[zone == one], minlength=number) for one in range(10)], axis=0) / len(mapped)
    strata, differ = [np.flatnonzero(mapped == one) for one in range(number)], np.flatnonzero(mapped != other)
    text = title_of("# Coverage of review", smoke=options.smoke) + "\n\n| answers | interval | overall |"
    text += "".join(f" {quantity.partition('_')[0]} {name} |" for quantity in QUANTITIES for name in names)
    text += f"\n|---|---|{'---:|' * (1 + len(QUANTITIES) * len(names))}\n"
    for looks in LOOKS[: 1 if options.smoke else None]:
        rng, rows = np.random.default_rng(looks), []
        hits: dict[str, list[list[bool]]] = {"reported": [], "published": []}
        for _ in range(draws):
            wanted = share_out(pixels, looks)
            points = np.concatenate([rng.choice(s, n, replace=False) for s, n in zip(strata, wanted, strict=True)])
            table = _table(mapped[points], truth[points], number)
            estimate = area_adjusted(table, area)
            for kind in hits:
                hits[kind].append(_inside(estimate, all_of, kind))
            inside = [points[zone[points] <= one] for one in range(10)]
            tables = [_table(mapped[part], truth[part], number) for part in inside]
            surest = trusted_zone(tables, list(areas), limits.tolist())
            classes = [names.index(name) for name in trusted_classes(table, area, names)["classes"]]
            parts = [sure >= surest["confidence"]] if surest["share"] else []
            parts += [mapped == one for one in classes]
            wrong = [bool((mapped[part] == truth[part]).mean() < surest["accuracy"]) for part in parts]
            points = rng.choice(differ, min(looks, len(differ)), replace=False)
            first, second = (int((labels[points] == truth[points]).sum()) for labels in (mapped, other))
            neither = len(points) - first - second
            gap = estimate_difference(first, second, neither, 0, len(differ) / len(mapped))
            rows.append(
                (surest["share"], area[classes].sum(), bool(surest["share"]) and wrong[0], any(wrong[bool(surest["share"]):]),
                 gap.low <= right[0] - right[1] <= gap.high, gap.p_value < 0.05 and (gap.difference > 0) == (right[0] > right[1]),
                 gap.p_value < 0.05 and (gap.difference > 0) != (right[0] > right[1]))
            )  # fmt: skip
        means = np.mean(rows, axis=0).tolist()
        content["coverage"][looks] = {kind: np.mean(of_kind, axis=0).tolist() for kind, of_kind in hits.items()}
        content["coverage"][looks]["trusted"] = dict(
            zip(("zone", "classes", "zone_wrong", "classes_wrong"), means, strict=False)
        )
        content["difference"][looks] = dict(
            zip(("inside", "rightly_decided", "wrongly_decided"), means[4:], strict=True)
        )
        for kind in hits:
            cells = " | ".join(f"{value:.1%}" for value in content["coverage"][looks][kind])
            text += f"| {looks} | {kind} | {cells} |\n"
        write_json(out / "coverage.json", content)
        write_text(out / "table.md", text)
    print(text)


def _table(mapped: Array, truth: Array, number: int) -> Array:
    """Return (K, K) counts, rows = map."""
    return np.bincount(mapped * number + truth, minlength=number**2).reshape(number, number)


def _inside(estimate: Any, truth: Any, kind: str) -> list[bool]:
    """Return whether each interval contains the value of all pixels: overall, then by quantity and class."""
    result = []
    for name in ("overall_accuracy", *QUANTITIES):
        value, true = (np.atleast_1d(getattr(one, name)) for one in (estimate, truth))
        if kind == "published":
            margin = np.atleast_1d(getattr(estimate, f"{name}_margin"))
            low, high = value - margin, value + margin
        else:
            low, high = np.atleast_2d(getattr(estimate, f"{name}_interval")).T
        result += [bool(one) for one in (low - 1e-9 <= true) & (true <= high + 1e-9)]
    return result


if __name__ == "__main__":
    with plain_errors():
        main()
