"""Coherence of simulated speckle: its bias with and without correction and fringes, and its drop as evidence of damage. SYNTHETIC.

Usage: python experiments/coherence.py [--seeds 0 1 2] --out FOLDER [--card models/damage-coherence] [--smoke]

Each seed draws pairs of fully developed speckle with a known coherence, whole fringes of the flat earth across it, and windows of 3 × 3, 5 × 5 and
7 × 7 pixels; the table has the mean of sample coherence and of ours. For the card, scenes of buildings on open ground of low coherence are drawn at three
dates: roofs have a coherence of 0.4 to 0.9 before (a fifth, under trees, 0.15 to 0.4), the event's pair has 0.8 to 1 of it everywhere, and damaged roofs keep 0 to
half of that. Half of the buildings are damaged. The card is fitted on the scenes of the first seeds and validated on as many scenes that were drawn apart.
Kuro Siwo, whose complex images are in two bands of real and imaginary parts, are read as they are; the table of its interferometric networks could not be read
at its source, so no row of it is printed. Writes results.json and table.md; with --card the card of the drop.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from script import add_smoke, plain_errors, title_of

from deepnets4eo.arrays import Floats, Mask, Spectrum
from deepnets4eo.damage import EvidenceCard
from deepnets4eo.evaluation import spread
from deepnets4eo.files import write_json, write_text, write_yaml
from deepnets4eo.interferometry import interferometric_coherence

COHERENCES = (0.2, 0.4, 0.6, 0.8, 0.95)
WINDOWS = (3, 5, 7)
FRINGES = {"no fringe": (0.0, 0.0), "4 px across": (0.11, -0.237)}
SIDE_PX, LOT_PX, SCENES = 256, 24, 6
ROOF_PX = (6, 18)
OPEN = (0.1, 0.3)  # coherence of the ground around
ROOFS, UNDER_TREES, TREES = (0.4, 0.9), (0.15, 0.4), 0.2
SCENE_KEEPS, DAMAGED_KEEPS = (0.8, 1.0), (0.0, 0.5)
CARD_FILE = "drop.evidence.yaml"


def speckle(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.complex128]:
    """Fully developed speckle of mean power 1, each pixel independent."""
    return np.asarray((rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2))


def next_date(
    image: NDArray[np.complex128], coherence: Floats | float, rng: np.random.Generator
) -> NDArray[np.complex128]:
    """An image with a known coherence, per pixel or of all, to the one before."""
    coherence = np.asarray(coherence)
    return np.asarray(coherence * image + np.sqrt(1 - coherence**2) * speckle(image.shape, rng))


def with_fringe(image: NDArray[np.complex128], cycles: tuple[float, float]) -> Spectrum:
    """The image with a phase that grows by so many cycles per pixel down and to the right."""
    rows, cols = np.indices(image.shape)
    return np.asarray(image * np.exp(-2j * np.pi * (cycles[0] * rows + cycles[1] * cols)), np.complex64)


def plain_coherence(pre: Spectrum, post: Spectrum, side: int) -> float:
    """Mean sample coherence of whole windows side by side, as the formula has it."""
    rows, cols = (length // side for length in pre.shape)

    def sums(values: NDArray[Any]) -> NDArray[Any]:
        whole = values[: rows * side, : cols * side]
        return np.asarray(whole.reshape(rows, side, cols, side).sum(axis=(1, 3)))

    powers = sums(np.abs(pre) ** 2) * sums(np.abs(post) ** 2)
    return float((np.abs(sums(pre * post.conj())) / np.sqrt(powers)).mean())


def bias_of(seeds: Sequence[int], side_px: int) -> dict[str, dict[str, list[float]]]:
    """Window, fringe and true coherence → mean of sample coherence and of ours, one of each seed."""
    rows: dict[str, dict[str, list[float]]] = {}
    for side in WINDOWS:
        for fringe, cycles in FRINGES.items():
            for true in COHERENCES:
                row = rows[f"{side} × {side}, {fringe}, {true}"] = {"sample": [], "ours": []}
                for seed in seeds:
                    rng = np.random.default_rng(seed)
                    image = speckle((side_px, side_px), rng)
                    pre, post = with_fringe(image, (0.0, 0.0)), with_fringe(next_date(image, true, rng), cycles)
                    row["sample"].append(round(plain_coherence(pre, post, side), 4))
                    ours = interferometric_coherence(pre, post, (side, side))
                    row["ours"].append(round(float(np.nanmean(ours)), 4))
    return rows


def draw_scene(rng: np.random.Generator) -> tuple[Floats, Mask]:
    """Mean drop of coherence in each building of a scene of three dates, and which buildings are damaged."""
    before = np.full((SIDE_PX, SIDE_PX), rng.uniform(*OPEN))
    event = before * (keeps := rng.uniform(*SCENE_KEEPS))
    outlines, damaged = [], []
    for row in range(0, SIDE_PX - LOT_PX, LOT_PX):
        for col in range(0, SIDE_PX - LOT_PX, LOT_PX):
            height, width = rng.integers(*ROOF_PX, size=2)
            at = slice(row + 3, row + 3 + height), slice(col + 3, col + 3 + width)
            before[at] = rng.uniform(*(UNDER_TREES if rng.random() < TREES else ROOFS))
            damaged.append(rng.random() < 0.5)
            event[at] = before[at] * keeps * (rng.uniform(*DAMAGED_KEEPS) if damaged[-1] else 1.0)
            outlines.append(at)
    first = speckle(before.shape, rng)
    second = next_date(first, before, rng)
    third = next_date(second, event, rng)
    dates = [
        with_fringe(first, (0, 0)), with_fringe(second, tuple(rng.uniform(-0.2, 0.2, 2))), with_fringe(third, tuple(rng.uniform(-0.2, 0.2, 2))),
    ]  # fmt: skip
    drop = interferometric_coherence(dates[0], dates[1]) - interferometric_coherence(dates[1], dates[2])
    means = np.array([np.nanmean(drop[at]) if np.isfinite(drop[at]).any() else np.nan for at in outlines])
    return means, np.array(damaged)


def fit_card(seeds: Sequence[int], scenes: int) -> tuple[EvidenceCard, dict[str, Any]]:
    """The card of the drop, and its figures of each seed: area under the curve in validation scenes, slope and intercept."""
    figures: dict[str, Any] = {"auc": [], "slope": [], "intercept": []}
    learnt: list[tuple[Floats, Mask]] = []
    held: list[tuple[Floats, Mask]] = []
    for seed in seeds:
        rng = np.random.default_rng([seed, 1])
        train, test = ([draw_scene(rng) for _ in range(scenes)] for _ in range(2))
        card = EvidenceCard.fit(*(np.concatenate(part) for part in zip(*train, strict=True)))
        figures["slope"].append(round(card.slope, 3))
        figures["intercept"].append(round(card.intercept, 3))
        checked = EvidenceCard.fit(*(np.concatenate(part) for part in zip(*test, strict=True)))
        figures["auc"].append(
            round(checked.auc_major_or_worse, 4)
        )  # the area is that of the drop itself, whatever the fit
        learnt, held = [*learnt, *train], [*held, *test]
    card = EvidenceCard.fit(*(np.concatenate(part) for part in zip(*learnt, strict=True)))
    checked = EvidenceCard.fit(*(np.concatenate(part) for part in zip(*held, strict=True)))
    figures["buildings"] = checked.buildings
    return replace(
        card, auc_major_or_worse=checked.auc_major_or_worse, buildings=checked.buildings, synthetic=True
    ), figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--card", type=Path, help="folder of the card that is written")
    add_smoke(parser)
    chosen = parser.parse_args()
    bias = bias_of(chosen.seeds, 96 if chosen.smoke else 512)
    card, damage = fit_card(chosen.seeds, 1 if chosen.smoke else SCENES)
    write_json(chosen.out / "results.json", {"smoke": chosen.smoke, "bias": bias, "damage": damage})
    lines = [
        f"## {title_of('Coherence of simulated speckle (SYNTHETIC)', smoke=chosen.smoke)}", "",
        "| window, fringe, true coherence | sample | ours |", "|---|---:|---:|",
        *(f"| {name} | {spread(row['sample'], digits=3)} | {spread(row['ours'], digits=3)} |" for name, row in bias.items()), "",
        f"Drop at damaged buildings: AUC {spread(damage['auc'], digits=3)} on {damage['buildings']} buildings of all seeds.", "",
    ]  # fmt: skip
    write_text(chosen.out / "table.md", "\n".join(lines))
    print("\n".join(lines))
    if chosen.card is not None:
        values = {name: round(float(value), 4) for name, value in vars(card).items() if name != "synthetic"}
        write_yaml(chosen.card / CARD_FILE, values | {"buildings": card.buildings, "synthetic": True})


if __name__ == "__main__":
    with plain_errors():
        main()
