"""The files of the EuroSAT challenge with few labels: a training on its archives, and its submission.

Usage: python experiments/eurosat_few_labels.py --data FOLDER --out FOLDER [--method none] [--set KEY=VALUE …] [--smoke]
       python experiments/eurosat_few_labels.py --data OUT/parts-0 OUT/parts-1 … --out FOLDER    (draws of EuroSAT whose test labels are known)

FOLDER has the challenge's archives eurosat_train (500 labelled), eurosat_valid (1,500), eurosat_unsup (5,000 of EuroSAT),
bigearthnet_rgb (95,000) and test (20,000, images alone), red, green and blue in 64 × 64 px; each is NAME.npz of images and, in the first
two, labels, a folder NAME of images, or a table NAME.csv. bigearthnet_rgb may be left out; `eurosat.py` writes such archives of a folder of EuroSAT. Writes
submission.csv with the columns Id,Category: the id of each test image and the name of its class; it is checked for missing, double and unknown ids and classes.
Ids and their order are those of sampleSubmission.csv where the folder has it, whose categories may be numbers of classes in the order of their names; else numbers from 0 on.
Overall accuracies of archives whose test images have labels go into results.json. An interrupted training goes on.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from script import add_smoke, percents, plain_errors, store_results
from zero import chance

from deepnets4eo.cards import Legend
from deepnets4eo.classification import label_images
from deepnets4eo.errors import InputError
from deepnets4eo.files import write_text
from deepnets4eo.outputs import csv_text
from deepnets4eo.segmenters import load_run
from deepnets4eo.training import TrainOptions, train

RECIPE = "images/eurosat-few-labels"
RGB = ("B04", "B03", "B02")
SAMPLE, TEST_TABLE = "sampleSubmission.csv", "test.csv"
SMOKE = (
    "train.batch_size=10", "train.epochs=1", "data.windows_per_epoch=20", "data.num_workers=0", "model.options={phi: -1, stride_px: 8}",
)  # fmt: skip


def challenge_file(folder: Path, name: str, *, needed: bool = True) -> Path | None:
    """One of the challenge's archives, or the folder or table of its images. Errors: InputError where one that is needed is missing."""
    path = next((path for suffix in (".npz", ".csv", "") if (path := folder / f"{name}{suffix}").exists()), None)
    if path is None and needed:
        raise InputError(
            f"{folder} has no {name}.npz, folder {name} or table {name}.csv. Unpack the challenge's archives there."
        )
    return path


def enter_challenge(folder: Path, out: Path, method: str, further: Sequence[str] = ()) -> Path:
    """Train on the challenge's files and write its submission; a training that was interrupted goes on."""
    learnt, val, unsup, test = (
        challenge_file(folder, name) for name in ("eurosat_train", "eurosat_valid", "eurosat_unsup", "test")
    )
    unlabelled = [
        str(path) for path in (unsup, challenge_file(folder, "bigearthnet_rgb", needed=False)) if path is not None
    ]
    overrides = [
        f"data.folders=[{learnt}]", f"data.val=[{val}]", f"data.unlabelled=[{', '.join(unlabelled)}]", "data.labels_per_class=0",
        "data.test_share=0", f"data.file_bands=[{', '.join(RGB)}]", f"unlabelled.method={method}", *further,
    ]  # fmt: skip
    run = out / method
    if not (run / "card.json").exists():
        train(RECIPE, run, overrides=overrides, options=TrainOptions(resume=run.exists()))
    label_images(load_run(run), [str(test)], out / TEST_TABLE, overwrite=True)
    classes = labels_of(out / TEST_TABLE)
    legend = load_run(run).legend
    ids, numbered = read_sample(folder / SAMPLE, len(classes))
    if numbered:
        order = {name: str(number) for number, name in enumerate(sorted(legend.names))}
        classes = [order[name] for name in classes]
    return write_submission(out / "submission.csv", classes, sorted(order.values()) if numbered else legend.names, ids)


def labels_of(table: Path) -> list[str]:
    """Return the class of each test image."""
    with table.open(newline="", encoding="utf-8") as file:
        return [row["label"] for row in csv.DictReader(file)]


def test_accuracy(folder: Path, out: Path) -> float | None:
    """Return the overall accuracy, 0 to 1, of a challenge that was entered; None if its test images have no labels."""
    path = folder / "test.npz"
    archive = np.load(path) if path.exists() else {}
    if "labels" not in archive:
        return None
    names = Legend.load("eurosat").names
    right = [names[truth] == label for truth, label in zip(archive["labels"], labels_of(out / TEST_TABLE), strict=True)]
    return float(np.mean(right))


def read_sample(path: Path, images: int) -> tuple[list[str], bool]:
    """Ids of the challenge's sample, and whether its categories are numbers; 0, 1, … and names without it. Errors: InputError."""
    if not path.exists():
        return [str(number) for number in range(images)], False
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"Id", "Category"} <= rows[0].keys() or len(rows) != images:
        raise InputError(
            f"{path} has {len(rows)} rows of {', '.join(rows[0]) if rows else 'nothing'}; expected Id,Category for each of {images} test images."
        )
    return [row["Id"] for row in rows], all((row["Category"] or "").isdigit() for row in rows)


def write_submission(path: Path, classes: Sequence[str], names: Sequence[str], ids: Sequence[str]) -> Path:
    """Write `Id,Category`, one row an image in its order, and check the file. Returns the file."""
    write_text(path, csv_text([("Id", "Category"), *zip(ids, classes, strict=True)]))
    check_submission(path, ids, names)
    return path


def check_submission(path: Path, ids: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a submission with missing, double or unknown ids, or classes that are none of the names. Errors: InputError."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if not rows or rows[0] != ["Id", "Category"]:
        raise InputError(f"{path} begins with {rows[:1]}; expected the columns Id,Category.")
    if short := next((number for number, row in enumerate(rows, 1) if len(row) != 2), None):
        raise InputError(f"{path}, line {short} has {len(rows[short - 1])} cells; expected an id and a class.")
    written = [row[0] for row in rows[1:]]
    faults = {
        "missing": [one for one in ids if one not in set(written)],
        "double": sorted(one for one, count in Counter(written).items() if count > 1),
        "unknown": sorted(set(written) - set(ids)),
    }
    for kind, faulty in faults.items():
        if faulty:
            raise InputError(
                f"{path} has {len(faulty)} {kind} ids, e.g. {faulty[0]}; expected {ids[0]} to {ids[-1]}, each once."
            )
    if wrong := sorted({row[1] for row in rows[1:]} - set(names)):
        raise InputError(f"{path} has the class {wrong[0]!r}; expected {', '.join(names)}.")


def main() -> None:
    """Enter the challenge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folder of the challenge's archives")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--method", choices=("none", "fixmatch", "flexmatch"), default="none")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="values of the recipe, e.g. unlabelled.threshold=0.8"
    )
    add_smoke(parser)
    options = parser.parse_args()
    further = (*(SMOKE if options.smoke else ()), *options.set)
    accuracies = []
    for folder in options.data:
        out = options.out if len(options.data) == 1 else options.out / folder.name
        print(enter_challenge(folder, out, options.method, further))
        accuracies.append(test_accuracy(folder, out))
    known = [one for one in accuracies if one is not None]
    if known:
        store_results(
            options.out,
            smoke=options.smoke,
            method=options.method,
            settings=further,
            zero=chance(10).to_dict(),
            accuracy=percents(known),
        )


if __name__ == "__main__":
    with plain_errors():
        main()
