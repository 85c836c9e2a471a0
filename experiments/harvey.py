"""Flooded or damaged buildings after Hurricane Harvey: by place, by the published list of names, and by what a pair shows.

Usage: python experiments/harvey.py --data FOLDER --out FOLDER [--smoke]

FOLDER has damage.zip (after the event), no_damage.zip (mostly before it) and published_split.csv.gz. No patch shows an undamaged building after the event, so a score here
may be one of dates: `as they are`, or `levelled`, where each band of each patch has mean 0 and deviation 1; of pairs it is whether the later date is recognised. Five folds of
blocks of 0.02 degree; the published list has overlapping patches in training and test. A logistic regression on colour and texture. Then new water around the
building of each pair, taken as a square of 16 m, and the same with the dates in each other's place, which must be dry: all together, then by
block, since the rule was made while looking at pairs of these blocks. The jobs themselves say "not known" of every building that only the colour of an image that small shows in water.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image
from script import add_smoke, percents, plain_errors, require_all, store_results, title_of
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from zero import largest_class

from deepnets4eo.evaluation import spread
from deepnets4eo.files import write_text
from deepnets4eo.floods import optical_water, water_around
from deepnets4eo.floods.buildings import NO, NOT_KNOWN, YES
from deepnets4eo.floods.optical import hidden_ground
from deepnets4eo.floods.thresholds import FLOOD, NOT_SEEN
from deepnets4eo.rasters import Layer

FOLDS, BLOCK_DEG, GSD_M = 5, 0.02, 0.5
MIN_PAIRS = 25  # pairs of a block with a row of its own
IN_ORDER, TURNED = "before, after", "turned round"  # the dates of pairs
OTHERS = "others"  # blocks of fewer pairs
Vectors = NDArray[np.float64]


def features(patch: NDArray[np.uint8], *, levelled: bool = False) -> Vectors:
    """Colour and texture of a patch (h, w, 3): by band mean, deviation, deciles, and energy of differences at four distances."""
    image = patch.astype(np.float64)
    if levelled:
        image = (image - image.mean((0, 1))) / (image.std((0, 1)) + 1e-6)
    parts = [image.mean((0, 1)), image.std((0, 1)), *np.quantile(image, [0.1, 0.5, 0.9], axis=(0, 1))]
    for step in (1, 2, 4, 8):
        parts += [
            np.abs(image[step:] - image[:-step]).mean((0, 1)),
            np.abs(image[:, step:] - image[:, :-step]).mean((0, 1)),
        ]
    parts.append(np.atleast_2d(np.corrcoef(image.reshape(-1, 3), rowvar=False))[np.triu_indices(3, 1)])
    return np.nan_to_num(np.concatenate(parts))


def read_zip(path: Path, most: int | None) -> dict[str, NDArray[np.uint8]]:
    """Name → patch."""
    with zipfile.ZipFile(path) as opened:
        names = [name for name in sorted(opened.namelist()) if name.lower().endswith((".jpg", ".jpeg"))][:most]
        return {Path(name).name: np.asarray(Image.open(io.BytesIO(opened.read(name))).convert("RGB")) for name in names}


def block_of(name: str) -> tuple[int, int]:
    """The block of a patch, by the longitude and latitude in its name."""
    east, north = (float(part) for part in Path(name).stem.split("_"))
    return int(east // BLOCK_DEG), int(north // BLOCK_DEG)


def score(train: Vectors, labels: Vectors, test: Vectors, truth: Vectors) -> tuple[float, float]:
    """Accuracy in percent, and area under the curve."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(train, labels)
    area = roc_auc_score(truth, model.decision_function(test)) if len(set(truth)) > 1 else np.nan
    return 100 * float(model.score(test, truth)), float(area)


def by_place(vectors: Vectors, labels: Vectors, names: list[str]) -> list[tuple[float, float]]:
    """Return accuracy in percent and area under the curve of each fold of blocks."""
    blocks = sorted({block_of(name) for name in names})
    order = np.random.default_rng(0).permutation(len(blocks))
    fold = {block: int(order[number]) % FOLDS for number, block in enumerate(blocks)}
    of = np.array([fold[block_of(name)] for name in names])
    return [score(vectors[of != one], labels[of != one], vectors[of == one], labels[of == one]) for one in range(FOLDS)]


def cells_of(scores: list[tuple[float, float]]) -> str:
    """Return mean ± sd over the folds as two cells."""
    return " | ".join(spread([one[number] for one in scores], digits) for number, digits in ((0, 1), (1, 3)))


def compare(
    after: dict[str, NDArray[np.uint8]], before: dict[str, NDArray[np.uint8]], split: dict[str, set[str]]
) -> tuple[str, dict[str, list[float]]]:
    """Return rows of the table, and the accuracy in percent of each question by fold."""
    text, accuracy = "", {}
    patches = [*after.values(), *before.values()]
    names, labels = [*after, *before], np.array([1] * len(after) + [0] * len(before), float)
    for way, levelled in (("as they are", False), ("levelled", True)):
        vectors = np.stack([features(patch, levelled=levelled) for patch in patches])
        of_folds = by_place(vectors, labels, names)
        accuracy[way] = [round(one, 2) for one, _ in of_folds]
        text += f"| after, or before: {way} | blocks | {cells_of(of_folds)} |\n"
        kinds = ["damage"] * len(after) + ["no_damage"] * len(before)
        learnt, tested = (
            np.array([name in split[f"{part}/{kind}"] for name, kind in zip(names, kinds, strict=True)])
            for part in ("train", "test")
        )
        if tested.any() and len(set(labels[learnt])) == 2 == len(set(labels[tested])):
            right, area = score(vectors[learnt], labels[learnt], vectors[tested], labels[tested])
            text += f"| after, or before: {way} | published names at hand, {learnt.sum()} and {tested.sum()} | {right:.1f} | {area:.3f} |\n"
    pairs = sorted(set(after) & set(before))
    rng = np.random.default_rng(0)
    turned = rng.random(len(pairs)) < 0.5
    first, second = (
        np.stack(
            [
                features((after if bool(swap) == late else before)[name], levelled=True)
                for name, swap in zip(pairs, turned, strict=True)
            ]
        )
        for late in (True, False)
    )
    of_folds = by_place(first - second, turned.astype(float), pairs)
    accuracy["pairs, levelled"] = [round(one, 2) for one, _ in of_folds]
    return text + f"| pairs, which date is the later one: levelled | blocks | {cells_of(of_folds)} |\n", accuracy


def water(
    after: dict[str, NDArray[np.uint8]], before: dict[str, NDArray[np.uint8]]
) -> tuple[str, dict[str, dict[str, float]]]:
    """Return rows of pairs by whether the building is in new water, and the same as numbers."""
    text = "\n| pairs | in new water | not | not known |\n|---|---:|---:|---:|\n"
    names, middle = sorted(set(after) & set(before)), np.array([shapely.box(48, 48, 80, 80)], object)
    in_water, numbers = dict[str, list[bool]](), dict[str, dict[str, float]]()
    for title, first, second in ((IN_ORDER, before, after), (TURNED, after, before)):
        counts = Counter[str]()
        in_water[title] = []
        for name in names:
            pre, post = (one[name].transpose(2, 0, 1) for one in (first, second))
            classes = optical_water(pre, post, gsd_m=GSD_M)
            hidden = hidden_ground(classes == FLOOD, post.astype(np.float32), GSD_M)
            seen = Layer.open(np.where(hidden, NOT_SEEN, classes).astype(np.uint8), nodata=NOT_SEEN)
            answer = str(water_around(seen, middle, pixel_m=GSD_M, workers=1).inundated[0])
            counts[answer] += 1
            in_water[title].append(answer == YES)
        cells = " | ".join(f"{counts[key]} ({counts[key] / max(len(names), 1):.1%})" for key in (YES, NO, NOT_KNOWN))
        text += f"| {title}, {len(names)} | {cells} |\n"
        numbers[title] = {
            "pairs": len(names), "in new water": counts[YES], "not known": counts[NOT_KNOWN], "in new water, %": percent(in_water[title]),
        }  # fmt: skip
    of_blocks, shares = water_by_block(names, *(np.array(answers) for answers in in_water.values()))
    for title, percents_of_blocks in shares.items():
        numbers[title] |= {"blocks": len(percents_of_blocks)}
        if percents_of_blocks:
            numbers[title] |= {"lowest block, %": min(percents_of_blocks), "highest block, %": max(percents_of_blocks)}
    return text + of_blocks, numbers


def percent(answers: Sequence[bool] | NDArray[np.bool_]) -> float:
    """Return the share of True in percent."""
    return percents([float(np.mean(answers))])[0]


def water_by_block(
    names: list[str], flooded: NDArray[np.bool_], turned: NDArray[np.bool_]
) -> tuple[str, dict[str, list[float]]]:
    """Return rows of blocks of `MIN_PAIRS` pairs or more, the others together: pairs in new water, and turned round.

    The numbers are percentages of blocks by the order of the dates, without the others.
    """
    text = "\n| block of 0.02 degree | pairs | in new water | turned round |\n|---|---:|---:|---:|\n"
    blocks = [block_of(name) for name in names]
    many = {block for block, number in Counter(blocks).items() if number >= MIN_PAIRS}
    title = [f"{BLOCK_DEG * block[0]:.2f}, {BLOCK_DEG * block[1]:.2f}" if block in many else OTHERS for block in blocks]
    shares: dict[str, list[float]] = {IN_ORDER: [], TURNED: []}
    for one in sorted(set(title)):
        rows = np.array(title) == one
        text += f"| {one} | {rows.sum()} | {flooded[rows].mean():.1%} | {turned[rows].mean():.1%} |\n"
        if one != OTHERS:
            shares[IN_ORDER].append(percent(flooded[rows]))
            shares[TURNED].append(percent(turned[rows]))
    return text, shares


def main() -> None:
    """Score all ways, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the two zips and the list")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    add_smoke(parser)
    options = parser.parse_args()
    require_all(options.data, ("damage.zip", "no_damage.zip", "published_split.csv.gz"))
    after, before = (read_zip(options.data / f"{name}.zip", None) for name in ("damage", "no_damage"))
    if options.smoke:
        pairs = sorted(set(after) & set(before))[:300]
        after, before = ({name: patches[name] for name in pairs} for patches in (after, before))
    split: dict[str, set[str]] = {
        f"{part}/{kind}": set() for part in ("train", "test") for kind in ("damage", "no_damage")
    }
    with gzip.open(options.data / "published_split.csv.gz", "rt", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            split.setdefault(f"{row['split']}/{row['class']}", set()).add(row["name"])
    text = (
        title_of("# Harvey", smoke=options.smoke)
        + "\n\n| question | split | accuracy, % | AUC |\n|---|---|---:|---:|\n"
    )
    compared, accuracy = compare(after, before, split)
    rows_of_water, in_water = water(after, before)
    patches = len(after) + len(before)
    zero = largest_class([len(after), len(before)])
    store_results(
        options.out,
        smoke=options.smoke,
        patches=patches,
        zero=zero.to_dict(),
        accuracy_of_folds=accuracy,
        water=in_water,
    )
    text += compared + rows_of_water + f"\n- {zero.line()}\n"
    write_text(options.out / "table.md", text)
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
