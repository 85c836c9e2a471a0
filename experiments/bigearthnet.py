"""BigEarthNet, 19 and 43 classes: F by network with its weights, training time and rate, and wide ResNets scaled by φ, published figures beside ours.

Usage: python experiments/bigearthnet.py --data FOLDER --out OUT [--classes 19 43] [--radar] [--rows NAME …] [--seeds 0 1 2] [--smoke]

FOLDER holds version 2 with metadata.parquet (its published parts), or patches of version 1, of which a tenth is drawn for the test and a tenth to
validate on; published figures are of the published parts. 43 classes are those of version 1. Six patches of version 1 are enough for --smoke.
F of the test part, decided at a probability of 0.5; rows stand in the order of their micro average precision. Frozen encoders learn their last layer alone. The rate is of patches a second in batches of 32, in memory, on the device that is there.
Writes table.md; what is finished is not run again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from script import FEW_STEPS, add_smoke, plain_errors, title_of

from deepnets4eo.evaluation import spread
from deepnets4eo.files import read_json, write_json, write_text
from deepnets4eo.segmenters import EfficientNetLite0, EncoderName, load_run
from deepnets4eo.training import TrainOptions, train

WIDE = {f"WRN-B-ECA, φ = {phi}": (f"model.options.phi={phi}",) for phi in (0, 1, 2, 4)}
IMAGENET, RANDOM = (f"EfficientNet-Lite0, {which}, frozen, in red, green and blue" for which in ("ImageNet", "random"))
FROZEN = (
    "model.network=frozen-images",
    "model.encoder=null",
    "model.options={patch_px: 120}",
    "data.bands=[B04, B03, B02]",
)
ROWS: dict[str, tuple[str, ...]] = {
    **WIDE,
    "WRN-B, φ = 1, without attention": ("model.options.phi=1", "model.options.attention=false"),
    **{
        name: ("model.network=image-classifier", f"model.encoder={encoder}", "model.options={patch_px: 120}")
        for name, encoder in (
            ("ResNet-18", "resnet18"),
            ("ResNet-50", "resnet50"),
            ("ViT-S/16", "vit_small_patch16_224"),
        )
    },
    IMAGENET: (*FROZEN, f"model.encoder_weights={EncoderName.lite0}"),
    RANDOM: FROZEN,
}
FIGURES = ("micro_f1", "macro_f1", "micro_ap", "macro_ap")
PUBLISHED = (  # percent, in the order of FIGURES; the wide ResNets' own table could not be read
    ("ResNet-50, S1 and S2, version 2 (Clasen et al. 2025, weights v0.2.0, two seeds)", "76.4–76.7", "64.4–65.7", "85.9–86.1", "70.3–71.1"),
    ("ResNet-50, S1 alone, version 2 (likewise)", "70.2", "57.6", "80.1", "62.8"),
    ("WRN-B4-ECA, version 1 (Papoutsis et al. 2023)", "–", "4.5 points above ResNet-50", "–", "–"),
)  # fmt: skip
RADAR = "data.bands=[B02, B03, B04, B05, B06, B07, B08, B8A, B11, B12, VV, VH]"
BATCH, PASSES = 32, 5


def keys_of(name: str, classes: int, seed: int, options: argparse.Namespace) -> list[str]:
    """What a row changes in the recipe `images/bigearthnet`."""
    keys = [f"legend=bigearthnet-{classes}", f"train.seed={seed}", *([RADAR] if options.radar else []), *ROWS[name]]
    if name == RANDOM:
        keys.append(f"model.encoder_weights={random_weights(options.out / f'random-{seed}.safetensors', seed)}")
    if not (options.data / "metadata.parquet").is_file():
        keys += ["data.dataset=bigearthnet", "data.test_share=0.1", "data.val_share=0.1"]
    if options.smoke:
        keys += [*FEW_STEPS, "data.test_share=0.3", "data.val_share=0.2"]
    return keys


def random_weights(path: Path, seed: int) -> Path:
    """A file of random first weights: a recipe refuses frozen ones that come from nowhere."""
    torch.manual_seed(seed)
    save_file(EfficientNetLite0().state_dict(), path)
    return path


def rate(network: Any, smoke: bool) -> float:
    """Patches a second of a trained network, in the side that it takes."""
    bands = next(one.in_channels for one in network.modules() if isinstance(one, torch.nn.Conv2d))
    device = next(network.parameters()).device
    patches = torch.zeros(2 if smoke else BATCH, bands, network.patch_px, network.patch_px, device=device)
    with torch.inference_mode():
        network.eval().patch_scores(patches)
        start = time.perf_counter()
        for _ in range(PASSES):
            network.patch_scores(patches).sum().item()
    return PASSES * len(patches) / (time.perf_counter() - start)


def run_row(name: str, classes: int, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """The figures of one training; read where it is finished."""
    done = options.out / f"{classes}-{name.replace('/', '-')}-{seed}{'-radar' if options.radar else ''}.json"
    if not done.exists():
        start = time.perf_counter()
        keys = [f"data.folders=[{options.data}]", *keys_of(name, classes, seed, options)]
        run = train("images/bigearthnet", done.with_suffix(""), overrides=keys, options=TrainOptions(overwrite=True))
        seconds = time.perf_counter() - start
        scores, network = read_json(run / "metrics.json"), load_run(run).segmenter.module  # type: ignore[attr-defined]
        weights = sum(parameter.numel() for parameter in network.parameters())
        own = {figure: scores.get(figure, float("nan")) for figure in FIGURES}
        write_json(done, own | {"weights": weights, "seconds": seconds, "rate": rate(network, options.smoke)})
    return dict(read_json(done))


def line_of(name: str, figures: list[dict[str, float]]) -> str:
    """A row of the table: mean ± deviation over the seeds."""
    scores = [
        spread([100 * (one[key] if one[key] is not None else float("nan")) for one in figures]) for key in FIGURES
    ]
    others = [f"{figures[0]['weights'] / 1e6:.2f}", spread([one["seconds"] for one in figures], 0)]
    return f"| {' | '.join([name, *scores, *others, spread([one['rate'] for one in figures], 0)])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--classes", type=int, nargs="+", choices=(19, 43), default=[19])
    parser.add_argument("--radar", action="store_true", help="VV and VH beside the bands of Sentinel-2")
    parser.add_argument(
        "--rows", nargs="+", choices=list(ROWS), default=list(ROWS)[:2] + list(ROWS)[4:7] + list(ROWS)[8:]
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add_smoke(parser)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    head = ["network", "micro F1", "macro F1", "micro AP", "macro AP", "million weights", "train s", "patches/s"]
    text = f"# {title_of('BigEarthNet', smoke=options.smoke)}\n"
    for classes in options.classes:
        text += f"\n| {classes} classes: {' | '.join(head)} |\n|---|{'---:|' * (len(head) - 1)}\n"
        figures: dict[str, list[dict[str, float]]] = {}
        for name in options.rows:
            seeds = options.seeds[: 1 if options.smoke else None]
            figures[name] = [run_row(name, classes, seed, options) for seed in seeds]
            ranked = sorted(figures.items(), key=lambda one: -np.mean([float(own["micro_ap"] or 0) for own in one[1]]))
            rows = "".join(f"{line_of(*one)}\n" for one in ranked)
            write_text(options.out / "table.md", text + rows)
        text += rows
        text += "".join(f"| {' | '.join(row)} | | | |\n" for row in PUBLISHED if classes == 19)
    write_text(options.out / "table.md", text)
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
