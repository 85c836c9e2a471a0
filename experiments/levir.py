"""Change networks of pre-trained encoders and the FC networks on LEVIR-CD, published beside ours.

Usage: python experiments/levir.py --out FOLDER --data ROOT [--encoder-weights efficientnet-lite0]     (train, val and test of LEVIR-CD)
       python experiments/levir.py --out FOLDER --data WINDOWS         (the few real windows: those of train and val to learn from)
       python experiments/levir.py --out FOLDER                        (miniature city, SYNTHETIC)

Maps are predicted on whole images; the published figures are those of windows of 256 px, which are 0.4 to 1.0 points lower.
Small trainings but for --data. The methods without training are fitted to each pair that is tested on.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from change_pairs import (
    CLASSICAL,
    SMALL,
    TEST_CITIES,
    TRAIN_CITIES,
    ChangeScore,
    Sources,
    city_pairs,
    everything_changed,
    publish,
    score_change,
    score_classical,
    table,
    train_run,
    zero_row,
)
from script import add_smoke, percents, plain_errors, require_files, store_results, title_of

from deepnets4eo.cards import DatasetCard, open_dataset
from deepnets4eo.change.networks.encoder_pair import FUSIONS
from deepnets4eo.segmenters import EncoderName

LAYERS = ("image_pre", "image_post", "labels")
ENCODERS = {  # over ResNet-34
    "U-Net, early fusion": ("change/unet-early-fusion", ()),
    **{f"Siamese U-Net, {fusion}": ("change/siamese-unet", (f"model.options.fusion={fusion}",)) for fusion in FUSIONS},
}
NETWORKS = {
    **ENCODERS,
    "FC-EF": ("change/fc-ef", ()),
    "FC-Siam-diff": ("change/fc-siam-diff", ()),
    "ChangeFormer": ("change/changeformer", ()),
}
EPOCHS, SAMPLE_EPOCHS = 12, 6  # of 20 steps, of the small trainings: cities, windows of LEVIR-CD
MASK = "data.labels_legend=change-mask"


def samples(folder: Path) -> tuple[Sources, Sources]:
    """The real windows, by the part that their names start with; those of val are learnt from as well."""
    parts: tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]] = ({}, {})
    for label in require_files(folder / "label", "*.png"):
        paths = {"image_pre": folder / "A" / label.name, "image_post": folder / "B" / label.name, "labels": label}
        parts[label.stem.startswith("test")][label.stem] = {layer: str(path) for layer, path in paths.items()}
    return parts


def levir(root: Path) -> tuple[Sources, Sources]:
    """The pairs to train on and those to test on."""
    card = DatasetCard.load("levir_cd")
    train, test = (
        {
            name.replace("/", "-"): {layer: str(path) for layer, path in sources.items()}
            for name, sources in tiles.items()
        }
        for tiles in (open_dataset(card, root, part=part, layers=LAYERS) for part in ("train", "test"))
    )
    return train, test


def network_scores(
    name: str, settings: Sequence[str], train: Sources, test: Sources, seeds: Sequence[int], out: Path, legend: str,
    *, smoke: bool,
) -> list[ChangeScore]:  # fmt: skip
    """One score a seed. legend : that the files of the labels are in."""
    scores = []
    recipe, overrides = NETWORKS[name]
    for seed in seeds:
        folder = out / f"seed-{seed}" / name
        run = train_run(recipe, [*settings, *overrides, f"train.seed={seed}"], train, folder, smoke=smoke)
        scores.append(score_change(run, test, folder / "maps", stored=legend))
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="LEVIR-CD, or a folder of a few windows with A, B and label")
    parser.add_argument(
        "--encoder-weights", help="first weights of the encoders: imagenet, or efficientnet-lite0, an encoder itself"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    add_smoke(parser)
    arguments = parser.parse_args()
    windows = arguments.data if arguments.data is not None and (arguments.data / "label").is_dir() else None
    arguments.data = None if windows is not None else arguments.data
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("change_pairs").setLevel(logging.INFO)
    out, smoke = arguments.out, arguments.smoke
    few = 1 if smoke else None
    if arguments.data is not None:
        title, (train, test) = "LEVIR-CD, whole images", levir(arguments.data)
    elif windows is not None:
        title, (train, test) = "Windows of LEVIR-CD", samples(windows)
    else:
        title = "Change networks on the miniature city (SYNTHETIC)"
        train, test = (city_pairs(out, cities[:few], smoke=smoke) for cities in (TRAIN_CITIES, TEST_CITIES))
    real = arguments.data is not None or windows is not None
    plain = [one for one in SMALL if "class_weights" not in one] if arguments.data is None else []
    plain += [f"train.epochs={EPOCHS if windows is None else SAMPLE_EPOCHS}"] if arguments.data is None else []
    legend = "change-mask" if real else "change"
    rows: dict[str, list[list[float]]] = {}
    f1: dict[str, list[float]] = {}
    if arguments.data is not None:
        published = DatasetCard.load("levir_cd").published
        rows = {f"{name} (published)": [[one.f1["change"] / 100], []] for name, one in published.items()}
    zero = everything_changed(test, stored=legend)
    about = {"data": title, "encoder_weights": arguments.encoder_weights, "zero": zero.to_dict()}
    rows[zero.name] = zero_row(zero, "f1", "kappa")
    for name in arguments.rows:
        weights = arguments.encoder_weights if name in ENCODERS else None
        own = [f"model.encoder={EncoderName.lite0}"] if weights == EncoderName.lite0 else []
        settings = [*plain, *own, *([MASK] if real else []), *([f"model.encoder_weights={weights}"] if weights else [])]
        scores = network_scores(name, settings, train, test, arguments.seeds[:few], out, legend, smoke=smoke)
        f1[name] = percents(one.f1 for one in scores)
        store_results(out, smoke=smoke, **about, f1_of_change=f1)
        rows[f"{name} (ours, {len(scores)} seeds)"] = [[one.f1 for one in scores], [one.kappa for one in scores]]
    for name, method in CLASSICAL.items():
        score = score_classical(method, test, out / "classical" / method, stored=legend)
        f1[name] = percents([score.f1])
        rows[name] = [[score.f1], [score.kappa]]
    store_results(out, smoke=smoke, **about, f1_of_change=f1)
    publish(out, table(title_of(title, smoke=smoke), ["F1 of change", "kappa"], rows, []))


if __name__ == "__main__":
    with plain_errors():
        main()
