"""EuroSAT in red, green and blue: all labels and few, by networks of ours and a plain loop of ResNet-18, beside frozen features, colour and texture.

Usage: python experiments/eurosat.py --data FOLDER --out OUT [--ways all none flexmatch …] [--networks wide-resnet-eca …] [--seeds 0 1 2] [--models FOLDER] [--smoke]

FOLDER has a zip or a folder of JPEG for each of the ten classes. `all`: 80/20 by seed. The others are the protocol of the challenge: 500 labelled, 1,500 validated on,
5,000 without labels and 8,000 tested on, another draw by seed, in archives that `eurosat_few_labels.py --data OUT/parts-SEED` takes as they are. Networks learn in 2,000 steps
of 16 labelled and 112 unlabelled patches (--steps); `simclr`: labels alone from first weights learnt in 40 epochs from the 5,500; `frozen`: `models/images/frozen` as it is, which
needs no validation (--tested: as many patches of its test part, drawn at random); `frozen, one view`: the same of one view in place of four, not enlarged. Validation chooses the epoch, the test part is scored once.
`ranked` ranks the encoders at hand, frozen, under one linear probe of the 500 labels (`encoder_ranking.py`), as a table of its own; first weights take --first-epochs.
`shipped`: `models/eurosat` as it is, on the test part of seed 0, whose training part it learnt from. Writes table.md and results.json; what is finished is not run again. --models ships the first seed's run of the last network with all labels, as FOLDER/eurosat.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from encoder_ranking import AT_HAND, OWN, encoder_of, probe
from harvey import features
from numpy.typing import NDArray
from PIL import Image
from script import add_smoke, kept_results, plain_errors, require_files, store_results, title_of
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from zero import chance

from deepnets4eo.cards import Legend, run_path
from deepnets4eo.evaluation import spread
from deepnets4eo.files import read_json, write_json, write_text
from deepnets4eo.segmenters import EncoderName, load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.training import TrainOptions, train

NETWORKS = {
    "wide-resnet-eca": ("model.network=wide-resnet-eca", "model.encoder=null", "model.options={phi: 0, stride_px: 16}"),
    "wide-resnet-eca, phi 1": (
        "model.network=wide-resnet-eca",
        "model.encoder=null",
        "model.options={phi: 1, stride_px: 16}",
    ),
    "resnet18": ("model.network=image-classifier", "model.encoder=resnet18", "model.options={stride_px: 16}"),
    EncoderName.lite0: (
        "model.network=image-classifier", f"model.encoder={EncoderName.lite0}", f"model.encoder_weights={EncoderName.lite0}", "model.options={stride_px: 16}",
    ),
}  # fmt: skip
BY_NETWORK = ("all", "none", "fixmatch", "flexmatch", "simclr")
FROZEN_WAYS: dict[str, tuple[str, ...]] = {
    "frozen": (), "frozen, one view": ("model.options.views=1", "model.options.input_px=64")
}  # fmt: skip
RANKED, SHIPPED = "ranked", "shipped"
PLAIN = {"plain": "all", "few, plain": "few"}
BY_FEATURES = {
    "5 nearest neighbours": KNeighborsClassifier(5), "logistic regression": LogisticRegression(max_iter=5000),
}  # fmt: skip
TRAIN, VAL, UNLABELLED, TEST = "eurosat_train", "eurosat_valid", "eurosat_unsup", "test"
PARTS = {TRAIN: 500, VAL: 1500, UNLABELLED: 5000, TEST: 8000}
GSD_M = 10.0  # which archives do not say
BANDS = ("data.file_bands=[B04, B03, B02]", "data.dataset=null", "data.num_workers=0", "data.test_share=0")
EPOCHS, BATCH = 15, 64
FEWER_EPOCHS = {EncoderName.lite0: 6}  # from weights of ImageNet
FEW = ("data.labels_per_class=0", "train.batch_size=16", "train.epochs=10", "unlabelled.ratio=7", "train.average=0.99")
FIRST = ("train.batch_size=128", "data.windows_per_epoch=5500", "data.val_share=0")
FIRST_EPOCHS = 40
SHORT = ("train.epochs=1", "data.windows_per_epoch=128")
Patches = tuple[NDArray[np.uint8], NDArray[np.int64]]


def files_of(folder: Path, name: str) -> Iterator[bytes]:
    """The JPEG files of a class."""
    if (archive := folder / f"{name}.zip").exists():
        with zipfile.ZipFile(archive) as opened:
            yield from (
                opened.read(one) for one in sorted(opened.namelist()) if one.lower().endswith((".jpg", ".jpeg"))
            )
    else:
        yield from (path.read_bytes() for path in require_files(folder / name, "*.jpg", "*.jpeg"))


def read_patches(folder: Path, most: int | None) -> Patches:
    """(N, 3, 64, 64), and the class indices of the legend; of each class `most` at most."""
    images, labels = [], []
    for number, name in enumerate(Legend.load("eurosat").names):
        for content in list(files_of(folder, name))[:most]:
            images.append(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1))
            labels.append(number)
    return np.stack(images), np.array(labels)


def write_parts(patches: Patches, out: Path, seed: int) -> None:
    """Archives all-train and all-test, 80/20 of each class, and those of `PARTS`, in the same shares."""
    images, labels = patches
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(np.flatnonzero(labels == number)) for number in np.unique(labels)]
    out.mkdir(parents=True, exist_ok=True)
    ends = np.cumsum([0, *PARTS.values()]) / sum(PARTS.values())
    shares = {"all-test": (0.0, 0.2), "all-train": (0.2, 1.0)}
    shares |= dict(zip(PARTS, zip(ends, ends[1:], strict=False), strict=True))
    for name, (start, end) in shares.items():
        rows = np.concatenate([order[round(len(order) * start) : round(len(order) * end)] for order in orders])
        hidden = {} if name == UNLABELLED else {"labels": labels[rows]}
        np.savez(out / f"{name}.npz", images=images[rows], **hidden)


def by_network(way: str, network: str, parts: Path, seed: int, steps: int, out: Path, *, smoke: bool) -> float:
    """Overall accuracy of the test part, in percent."""
    short, options, chosen = SHORT if smoke else (), TrainOptions(overwrite=True), NETWORKS[network]
    keys = [*BANDS, f"train.seed={seed}", *chosen]
    if way == "all":
        size = len(np.load(parts / "all-train.npz")["labels"])
        keys += [
            f"data.folders=[{parts / 'all-train.npz'}]", f"data.test=[{parts / 'all-test.npz'}]", f"train.epochs={FEWER_EPOCHS.get(network, EPOCHS)}",
            f"data.windows_per_epoch={max(round(0.9 * size), BATCH)}",
        ]  # fmt: skip
    else:
        named = (("folders", TRAIN), ("val", VAL), ("test", TEST), ("unlabelled", UNLABELLED))
        keys += [f"data.{key}=[{parts / name}.npz]" for key, name in named]
        keys += [*FEW, f"data.windows_per_epoch={16 * steps // 10}"]
        keys += [f"unlabelled.method={'none' if way == 'simclr' else way}"]
    if way == "simclr":
        keys += [f"model.encoder_weights={first_weights(network, parts, seed, FIRST_EPOCHS, out, smoke=smoke)}"]
    recipe = "images/eurosat" if way == "all" else "images/eurosat-few-labels"
    run = train(recipe, out / "run", overrides=[*keys, *short], options=options)
    return 100 * float(read_json(run / "metrics.json")["overall_accuracy"])


def first_weights(network: str, parts: Path, seed: int, epochs: int, out: Path, *, smoke: bool) -> Path:
    """A run whose encoder learnt from the patches without labels and the labelled ones, of which it sees no label."""
    seen = f"data.folders=[{parts / UNLABELLED}.npz, {parts / TRAIN}.npz]"
    chosen = [key.replace(", stride_px: 16", "") for key in NETWORKS[network]]
    keys = [*BANDS, seen, *FIRST, f"train.epochs={epochs}", f"train.seed={seed}", *chosen, *(SHORT if smoke else ())]
    return train("images/first-weights", out / "first", overrides=keys, options=TrainOptions(overwrite=True))


def ship(run: Path, parts: Path, folder: Path) -> float:
    """Write a run at half precision, its recipe without the archives of this computer; returns its overall accuracy of the test part then, in percent."""
    trained = load_run(run)
    segmenter: Any = trained.segmenter
    segmenter.stored, segmenter.inputs = "float16", replace(segmenter.inputs, gsd_m=GSD_M)
    recipe = {**trained.recipe, "data": {**trained.recipe["data"], "folders": [], "test": []}}
    save_run(segmenter, folder, recipe=recipe, seed=trained.card["seed"], notes=trained.card["notes"])
    return test_accuracy(folder, parts)


def test_accuracy(folder: Path, parts: Path) -> float:
    """Return the overall accuracy of a run on the test part of all labels, in percent."""
    run: Any = load_run(folder)
    archive = np.load(parts / "all-test.npz")
    valid = np.ones(archive["images"].shape[2:], bool)
    right = 0
    with torch.inference_mode():
        for rows in np.array_split(np.arange(len(archive["labels"])), 20):
            samples = [{"image": image.astype(np.float32), "valid": valid} for image in archive["images"][rows]]
            batch = torch.from_numpy(np.stack([run.inputs.prepare(one) for one in samples]))
            guesses = run.segmenter.module.patch_scores(batch).argmax(dim=1).numpy()
            right += int((guesses == archive["labels"][rows]).sum())
    return 100 * right / len(archive["labels"])


def by_features(way: str, parts: Path) -> float:
    """The same by a classifier of colour and texture that learns from the few labels."""
    archives = [np.load(parts / f"{name}.npz") for name in (TRAIN, TEST)]
    (seen, labels), (tested, truth) = (
        (np.stack([features(one.transpose(1, 2, 0)) for one in archive["images"]]), archive["labels"])
        for archive in archives
    )
    return 100 * float(make_pipeline(StandardScaler(), BY_FEATURES[way]).fit(seen, labels).score(tested, truth))


def tested_part(parts: Path, count: int | None, seed: int) -> Path:
    """Return the archive of the test part, or of so many of its patches, drawn by seed."""
    whole = parts / f"{TEST}.npz"
    if count is None:
        return whole
    path = parts / f"{TEST}-{count}.npz"
    if not path.exists():
        archive = np.load(whole)
        rows = np.sort(np.random.default_rng(seed).permutation(len(archive["labels"]))[:count])
        np.savez(path, images=archive["images"][rows], labels=archive["labels"][rows])
    return path


def by_frozen(way: str, parts: Path, tested: Path, out: Path) -> float:
    """The same by features of ImageNet's weights, which do not learn, and one layer of the few labels."""
    keys = [
        *BANDS,
        "legend=eurosat",
        "data.val_share=0",
        f"data.folders=[{parts / TRAIN}.npz]",
        f"data.test=[{tested}]",
    ]
    run = train(
        "images/frozen", out / "run", overrides=[*keys, *FROZEN_WAYS[way]], options=TrainOptions(overwrite=True)
    )
    return 100 * float(read_json(run / "metrics.json")["overall_accuracy"])


def by_probe(name: str, parts: Path, seed: int, epochs: int, out: Path, *, smoke: bool) -> float:
    """The same by a frozen encoder at hand and a linear probe of the few labels."""
    own = first_weights("wide-resnet-eca", parts, seed, epochs, out, smoke=smoke) if name == OWN else None
    archives, vectors = [np.load(parts / f"{part}.npz") for part in (TRAIN, TEST)], encoder_of(name, seed, own)
    learnt, tested = (vectors(archive["images"]) for archive in archives)
    return 100 * float((probe(learnt, archives[0]["labels"]).predict(tested) == archives[1]["labels"]).mean())


def by_plain_loop(way: str, parts: Path, seed: int, steps: int, *, smoke: bool) -> float:
    """The same of a loop of ResNet-18: quarter turns and mirror images, AdamW, one cycle."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    every = PLAIN[way] == "all"
    archives = [np.load(parts / f"{name}.npz") for name in (("all-train", "all-test") if every else (TRAIN, TEST))]
    (images, labels), (tested, truth) = (
        [torch.from_numpy(one[key]) for key in ("images", "labels")] for one in archives
    )
    seen = images.float()
    mean, std = seen.mean((0, 2, 3), keepdim=True), seen.std((0, 2, 3), keepdim=True)
    torch.manual_seed(seed)
    network = timm.create_model("resnet18", num_classes=10).to(device).train()
    size = BATCH if every else 16
    steps = 2 if smoke else EPOCHS * (round(0.9 * len(labels)) // BATCH) if every else steps
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, steps)
    for _ in range(steps):
        rows = torch.randint(len(images), (size,))
        batch = torch.rot90((images[rows].float() - mean) / std, int(torch.randint(4, ())), (2, 3))
        batch = torch.where(torch.rand(size, 1, 1, 1) < 0.5, batch.flip(3), batch)
        optimizer.zero_grad()
        F.cross_entropy(network(batch.to(device)), labels[rows].to(device)).backward()
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        guesses = torch.cat(
            [network(((part.float() - mean) / std).to(device)).argmax(1).cpu() for part in tested.split(500)]
        )
    return 100 * float((guesses == truth).float().mean())


def rows_of(ways: Sequence[str], networks: Sequence[str], encoders: Sequence[str]) -> list[tuple[str, str]]:
    """Way and network, or encoder, of each row of the tables."""
    return [
        (way, network)
        for way in ways
        for network in (
            networks if way in BY_NETWORK else encoders if way == RANKED else ["resnet18" if way in PLAIN else ""]
        )
    ]


def scores_of(way: str, network: str, patches: Patches, out: Path, options: argparse.Namespace) -> list[float]:
    """Overall accuracy of a row in percent, one a seed; what is finished is read."""
    scores, smoke = [], options.smoke
    for seed in [0] if way == SHIPPED else options.seeds[: 1 if smoke else None]:
        parts = out / f"parts-{seed}"
        cut = f" of {options.tested}" if options.tested and way in FROZEN_WAYS else ""
        run = out / f"{way} {network} {options.steps}{cut}" / str(seed)
        if not (parts / f"{TEST}.npz").exists():
            write_parts(patches, parts, seed)
        if not (done := run.with_suffix(".json")).exists():
            score = (
                by_network(way, network, parts, seed, options.steps, run, smoke=smoke) if way in BY_NETWORK
                else by_plain_loop(way, parts, seed, options.steps, smoke=smoke) if way in PLAIN
                else by_frozen(way, parts, tested_part(parts, options.tested, seed), run) if way in FROZEN_WAYS
                else test_accuracy(run_path("eurosat"), parts) if way == SHIPPED
                else by_probe(network, parts, seed, options.first_epochs, run, smoke=smoke) if way == RANKED
                else by_features(way, parts)
            )  # fmt: skip
            write_json(done, score)
        scores.append(read_json(done))
    return scores


def table_of(title: str, rows: Sequence[tuple[str, str, list[float]]]) -> str:
    """Way, network and mean ± deviation over the seeds; empty without rows."""
    lines = [f"| {way} | {network} | {spread(scores)} |" for way, network, scores in rows]
    head = [f"# {title}", "", "| way | network | overall accuracy, % |", "|---|---|---:|"]
    return "\n".join([*head, *lines, "", ""]) if rows else ""


def main() -> None:
    """Run what is chosen, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with a zip or a folder of JPEG a class")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    every = (*BY_NETWORK, *FROZEN_WAYS, SHIPPED, *PLAIN, *BY_FEATURES, RANKED)
    parser.add_argument("--ways", nargs="+", choices=every, default=list(every))
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=["wide-resnet-eca"])
    parser.add_argument("--steps", type=int, default=2000, help="of a training with few labels")
    parser.add_argument(
        "--tested", type=int, metavar="N", help="patches that the frozen ways are tested on; all by default"
    )
    parser.add_argument("--encoders", nargs="+", choices=AT_HAND, default=list(AT_HAND), help="that are ranked")
    parser.add_argument("--first-epochs", type=int, default=10, help="of the first weights that are ranked")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", type=Path, help="folder to ship a run into, e.g. models")
    add_smoke(parser)
    options = parser.parse_args()
    smoke, out = options.smoke, options.out / "smoke" if options.smoke else options.out
    patches, rows, text = read_patches(options.data, 60 if smoke else None), [], ""
    for way, network in rows_of(options.ways, options.networks, options.encoders):
        rows.append((way, network, scores_of(way, network, patches, out, options)))
        usual = [row for row in rows if row[0] != RANKED]
        best_first = sorted((row for row in rows if row[0] == RANKED), key=lambda row: -np.mean(row[2]))
        text = table_of(title_of("EuroSAT", smoke=smoke), usual)
        text += table_of(title_of("Frozen encoders under one linear probe of 500 labels", smoke=smoke), best_first)
        write_text(out / "table.md", text)
        before = kept_results(out, smoke=smoke)
        name = ", ".join(filter(None, (way, network)))
        accuracy = before.get("accuracy", {}) | {name: [round(one, 2) for one in rows[-1][2]]}
        tested = {"frozen_tested": options.tested} if way in FROZEN_WAYS else {}
        store_results(
            out,
            smoke=smoke,
            **before
            | tested
            | {"steps_with_few_labels": options.steps, "zero": chance(10).to_dict(), "accuracy": accuracy},
        )
    print(text)
    if options.models:
        seed = options.seeds[0]
        run = out / f"all {options.networks[-1]} {options.steps}" / str(seed) / "run"
        print(f"shipped: {ship(run, out / f'parts-{seed}', options.models / 'eurosat'):.2f} %")


if __name__ == "__main__":
    with plain_errors():
        main()
