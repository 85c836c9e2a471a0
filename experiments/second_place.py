"""The recipe of the earthquake challenge's second place as it is described: a classifier of one patch per building.

Usage: python experiments/second_place.py --data XBD_OR_SAMPLES --out FOLDER [--seeds 0 1 2] [--steps 80] [--smoke]

Two networks are trained apart: one sees the patch after the event, the Siamese one both dates. Both start from ImageNet's
EfficientNet-Lite0 (the document has ResNet-34), take one-cycle rates, quarter turns, mirror images and changes of brightness. A building
counts as damaged from major damage on. The vote is the majority of all networks; ties are counted, and the first network decides them.
Events are divided into the halves of challenge_recipe.py, which is another recipe (a U-Net whose scores are pooled, one training with two heads).
If --data is the folder of samples, the networks of all events are also scored on the Turkish cities of 2023 graded by eye, which nothing
was trained on. Writes results.json and table.md; finished networks are not trained again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import torch
import torch.nn.functional as F
from challenge import damaged_f1, majority
from challenge_recipe import FIRST_HALF, MORE
from damage_benchmarks import OF_XBD, write_xbd
from numpy.typing import NDArray
from PIL import Image
from script import add_smoke, plain_errors, require_files, title_of
from torch import Tensor, nn

from deepnets4eo.cards import VOID
from deepnets4eo.damage.network.datasets import read_xbd
from deepnets4eo.damage.network.pairs import POST, PRE, in_pixels
from deepnets4eo.damage.table.vocabulary import MAJOR
from deepnets4eo.evaluation import spread
from deepnets4eo.files import read_json, write_json, write_text
from deepnets4eo.segmenters import LEVEL_CHANNELS, EfficientNetLite0, frozen_encoder

PATCH_PX = 64  # side of the patch
MIN_SIDE_PX, MARGIN = 40, 1.3  # minimum ground that it shows; times the longer side of the box
STEPS, BATCH, RATE, HEAD_RATE, DECAY, DROPOUT = 80, 32, 5e-4, 2e-3, 0.01, 0.3
GAIN, OFFSET = 0.2, 0.1  # deviations of brightness, drawn per patch
MAX_WEIGHT = 5.0  # of the damaged buildings in the loss
POOLED = LEVEL_CHANNELS[-2:]
AFTER, SIAMESE, VOTE, ALL = "after the event alone", "both dates, Siamese", "majority vote", "all called damaged"
WAYS = {AFTER: False, SIAMESE: True}
CITIES = "turkey_2023"
STANDING, DAMAGED = ("standing",), ("collapsed", "heavy")  # other grades by eye are left out


@dataclass(frozen=True)
class Patches:
    """One patch per building: (N, 3, side, side) uint8 of both dates, (N,) labels 1 or 0, and the event of each."""

    pre: NDArray[np.uint8]
    post: NDArray[np.uint8]
    labels: NDArray[np.int8]
    events: NDArray[np.str_]

    def take(self, rows: NDArray[Any]) -> Patches:
        """Return the buildings of these rows."""
        return Patches(self.pre[rows], self.post[rows], self.labels[rows], self.events[rows])

    @classmethod
    def join(cls, parts: Sequence[Patches]) -> Patches:
        """Return the buildings of all parts."""
        fields = ("pre", "post", "labels", "events")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


class PatchNetwork(nn.Module):
    """The encoder's two deepest levels, averaged over the patch, and a linear score; Siamese: of post and its difference to pre."""

    def __init__(self, *, both: bool) -> None:
        super().__init__()
        self.both = both
        self.encoder = EfficientNetLite0()
        self.encoder.load_state_dict(frozen_encoder().state_dict())
        self.head = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(sum(POOLED) * (2 if both else 1), 1))

    def features(self, patches: Tensor) -> Tensor:
        """(N, 3, side, side) → (N, channels)."""
        levels = self.encoder(patches)
        return torch.cat([level.mean((2, 3)) for level in levels[-len(POOLED) :]], 1)

    def forward(self, pre: Tensor, post: Tensor) -> Tensor:
        """Return (N,) logits of damage."""
        after = self.features(post)
        scores: Tensor = self.head(torch.cat([after, after - self.features(pre)], 1) if self.both else after)
        return scores[:, 0]


def cut_patches(image: NDArray[np.uint8], boxes: NDArray[Any]) -> NDArray[np.uint8]:
    """Return (N, 3, side, side) squares around boxes of rows and columns; what is outside the image is black."""
    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    patches = []
    for top, left, bottom, right in boxes.tolist():
        half = max(MIN_SIDE_PX, MARGIN * max(bottom - top, right - left)) / 2
        row, col = (top + bottom) / 2, (left + right) / 2
        square = (int(col - half), int(row - half), int(col + half), int(row + half))
        patches.append(np.asarray(picture.crop(square).resize((PATCH_PX, PATCH_PX), Image.Resampling.BILINEAR)))
    return np.stack(patches).transpose(0, 3, 1, 2)


def to_bytes(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the first three bands; values beyond bytes are scaled by their 99.5th percentile."""
    colours = image[:3]
    if colours.dtype == np.uint8:
        return colours
    scaled = colours / max(float(np.nanpercentile(colours, 99.5)), 1e-6) * 255
    result: NDArray[np.uint8] = np.nan_to_num(scaled).clip(0, 255).astype(np.uint8)
    return result


def patches_of_xbd(root: Path) -> Patches:
    """Return all graded buildings of a folder of xBD."""
    parts = []
    for pair in read_xbd(root):
        graded = np.flatnonzero(pair.grades != VOID)
        if not len(graded):
            continue
        sample = pair.scene.read()
        boxes = pair.boxes[graded]
        pre, post = (cut_patches(to_bytes(sample[date]), boxes) for date in (PRE, POST))
        labels = (pair.grades[graded] >= MAJOR).astype(np.int8)
        parts.append(Patches(pre, post, labels, np.full(len(graded), pair.name)))
    return Patches.join(parts)


def patches_of_cities(folder: Path) -> Patches:
    """Return the buildings of the Turkish cities that were graded by eye; outlines are in pixels of the image after the event."""
    parts = []
    for path in require_files(folder, "*_grades.geojson"):
        table = gpd.read_file(path)
        table = table[table["grade"].isin((*STANDING, *DAMAGED))]
        stem = path.name.removesuffix("_grades.geojson")
        pre, post = (np.asarray(Image.open(folder / f"{stem}_{date}.jpg").convert("RGB")) for date in (PRE, POST))
        boxes = in_pixels(table.geometry.to_numpy(), post.shape[:2]).box
        pre, post = (cut_patches(image.transpose(2, 0, 1), boxes) for image in (pre, post))
        parts.append(Patches(pre, post, table["grade"].isin(DAMAGED).to_numpy(np.int8), np.full(len(table), stem)))
    return Patches.join(parts)


def fit(network: PatchNetwork, patches: Patches, seed: int, steps: int) -> PatchNetwork:
    """Train by one-cycle rates, on turned, mirrored, brighter and darker patches; damaged buildings weigh as much as others."""
    rng = np.random.default_rng(seed)
    groups = [
        {"params": network.encoder.parameters(), "lr": RATE},
        {"params": network.head.parameters(), "lr": HEAD_RATE},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [RATE, HEAD_RATE], total_steps=steps)
    damaged = int(patches.labels.sum())
    weight = torch.tensor((len(patches.labels) - damaged) / max(damaged, 1)).clamp(1 / MAX_WEIGHT, MAX_WEIGHT)
    network.train()
    for _ in range(steps):
        rows = rng.choice(len(patches.labels), BATCH)
        gain = 1 + GAIN * torch.from_numpy(rng.normal(size=(BATCH, 1, 1, 1)).astype(np.float32))
        turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
        dates = []
        for stored in (patches.pre, patches.post):
            offset = OFFSET * 127.5 * torch.from_numpy(rng.normal(size=(BATCH, 1, 1, 1)).astype(np.float32))
            values = torch.rot90(torch.from_numpy(stored[rows]).float(), turns, (2, 3))
            dates.append((values.flip(3) if mirrored else values) * gain + offset)
        truth = torch.from_numpy(patches.labels[rows].astype(np.float32))
        loss = F.binary_cross_entropy_with_logits(network(*dates), truth, pos_weight=weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.inference_mode()
def probabilities(network: PatchNetwork, patches: Patches) -> list[float]:
    """Return the probability of damage of each building."""
    values: list[float] = []
    for start in range(0, len(patches.labels), 128):
        pre, post = (torch.from_numpy(stored[start : start + 128]).float() for stored in (patches.pre, patches.post))
        values += torch.sigmoid(network(pre, post)).tolist()
    return values


def voters(
    learnt: Patches, tested: Patches, seeds: Sequence[int], steps: int, out: Path
) -> dict[str, list[NDArray[np.int8]]]:
    """Return what each network calls damaged, by way and seed; probabilities are kept in files."""
    calls: dict[str, list[NDArray[np.int8]]] = {way: [] for way in WAYS}
    for seed in seeds:
        for way, both in WAYS.items():
            path = out / f"{'siamese' if both else 'post'}-{seed}-{steps}.json"
            if not path.exists():
                torch.manual_seed(seed)
                write_json(path, probabilities(fit(PatchNetwork(both=both), learnt, seed, steps), tested))
            calls[way].append((np.array(read_json(path)) >= 0.5).astype(np.int8))
    return calls


def score(tested: Patches, calls: dict[str, list[NDArray[np.int8]]]) -> dict[str, Any]:
    """Return F1 of the damaged in percent: of each network, the vote, and of calling every building damaged; and the ties."""
    votes = np.stack([one for of_way in calls.values() for one in of_way])
    vote = majority(votes)

    def f1(labels: NDArray[np.int8], of: NDArray[np.int8]) -> float | None:
        value = 100 * damaged_f1(labels, of)
        return None if np.isnan(value) else round(value, 1)

    result: dict[str, Any] = {way: [f1(tested.labels, one) for one in of_way] for way, of_way in calls.items()}
    result |= {VOTE: f1(tested.labels, vote), ALL: f1(tested.labels, np.ones_like(tested.labels))}
    result |= {"voters": len(votes), "ties": int((2 * votes.sum(axis=0) == len(votes)).sum())}
    result |= {"buildings": len(tested.labels), "damaged": int(tested.labels.sum())}
    of_events = {}
    for event in sorted(set(tested.events.tolist())):
        rows = tested.events == event
        of_events[event] = {
            "buildings": int(rows.sum()), "damaged": int(tested.labels[rows].sum()),
            "called damaged": int((vote[rows] == 1).sum()), VOTE: f1(tested.labels[rows], vote[rows]),
        }  # fmt: skip
    return {**result, "events": of_events}


def table(results: dict[str, Any], title: str) -> str:
    """Return the results in Markdown, mean ± sd over the seeds."""
    head = ["tested on", "buildings", *WAYS, VOTE, "ties", ALL]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, one in results.items():
        cells = [spread([np.nan if value is None else value for value in one[way]]) for way in WAYS]
        lines.append([name, f"{one['buildings']}, {one['damaged']} damaged", *cells, f"{one[VOTE]}", f"{one['ties']}", f"{one[ALL]}"])  # fmt: skip
    return f"## {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    """Train and score both halves and, with the samples, the cities; write the results after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of xBD, or of real samples")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=STEPS)
    add_smoke(parser)
    options = parser.parse_args()
    whole, out = (options.data / "labels").is_dir(), options.out
    every = patches_of_xbd(options.data if whole else write_xbd(options.data, out / "xbd", *OF_XBD, MORE))
    first = np.array([name.startswith(FIRST_HALF) for name in every.events])
    seeds, steps = (options.seeds[:1], 2) if options.smoke else (options.seeds, options.steps)
    parts = {"second half of the events": (first, ~first), "first half of the events": (~first, first)}
    trials = {name: (every.take(learnt), every.take(tested)) for name, (learnt, tested) in parts.items()}
    if not whole and (options.data / CITIES).is_dir():
        trials["Turkish cities, graded by eye"] = (every, patches_of_cities(options.data / CITIES))
    results, text = {}, ""
    for name, (learnt, tested) in trials.items():
        results[name] = score(tested, voters(learnt, tested, seeds, steps, out / name.replace(" ", "-")))
        title = title_of(f"F1 of damaged buildings, {steps} steps of {BATCH} patches", smoke=options.smoke)
        text = table(results, title)
        write_json(
            out / "results.json", {"smoke": options.smoke, "steps": steps, "seeds": list(seeds), "tested": results}
        )
        write_text(out / "table.md", text)
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
