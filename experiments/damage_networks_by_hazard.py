"""Networks for damage side by side at made-up places of some hazards: what one gains that was trained further on them.

Usage: python experiments/damage_networks_by_hazard.py --network RUN [RUN …] [--kinds flood wind …] [--out runs/by_hazard] [--smoke]

Each network grades alone, without the weight-free model, the same places of the miniature world, of seeds that no training and no other
measurement has. The table has, for both images and for post alone, the mean over sites of the AUC of major damage or worse within
a site, and the log loss where half of a site's buildings are damaged, with a temperature and a shift that are measured at every other
site. SYNTHETIC. The logits are kept in --out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from damage_network_weight import LEAST
from damage_networks_left_out import GSD_M, SIZE_PX
from scipy.special import expit, softmax
from script import plain_errors
from sklearn.metrics import log_loss, roc_auc_score
from smoke import NOTE, add_smoke

from deepnets4eo.damage.calibration import platt
from deepnets4eo.damage.opinion_pool import border_odds
from deepnets4eo.damage.reliability import MAJOR
from deepnets4eo.damage.siamese.stream_scores import grade_stream, to_labelled_pair
from deepnets4eo.segmenters.run import load_run
from deepnets4eo.synthetic.world import style_names
from deepnets4eo.synthetic.world.damage_training import places_in_turn

DENSE = ("campus", "concrete-blocks", "high-rise", "informal", "old-town", "red-earth-town", "terraces")


@dataclass(frozen=True)
class Kind:
    """Places of one kind. seed : of them all; count : how many; styles : all where none is named."""

    seed: int
    count: int
    hazards: tuple[str, ...]
    styles: tuple[str, ...] = ()


KINDS = {
    "dense earthquake": Kind(9_700_000, 42, ("earthquake", "explosion"), DENSE),
    "flood": Kind(9_710_000, 46, ("flood", "lahar", "tsunami")),
    "dry": Kind(9_720_000, 46, ("hurricane", "tornado", "wildfire", "earthquake", "explosion")),
    "earthquake": Kind(9_730_000, 46, ("earthquake", "explosion")),
    "wind": Kind(9_740_000, 46, ("hurricane", "tornado")),
    "fire": Kind(9_750_000, 23, ("wildfire",)),
}


def grade_kind(name: str, folders: Sequence[Path], most: int | None) -> pd.DataFrame:
    """Log-odds of major damage or worse, one row a building, network and head.

    most : places of the kind; None for all.
    """
    kind, rows = KINDS[name], []
    runs = {folder.name: load_run(folder) for folder in folders}
    styles = kind.styles or style_names()
    for number, site in enumerate(places_in_turn(kind.seed, most or kind.count, SIZE_PX, styles, kind.hazards)):
        known = [to_labelled_pair(site, number, GSD_M)]
        for run_name, run in runs.items():
            graded = grade_stream(run.segmenter, run.inputs, [site], known)
            for head, own in (("pair", graded.pair), ("post", graded.post)):
                log_odds = border_odds(softmax(own.logits, axis=1))[:, MAJOR - 1]
                columns = {"kind": name, "site": number, "network": run_name, "head": head}
                rows.append(pd.DataFrame(columns | {"damaged": own.grades >= MAJOR, "log_odds": log_odds}))
    return pd.concat(rows, ignore_index=True)


def scores_of_kind(buildings: pd.DataFrame) -> dict[str, float]:
    """Scores of one network and head: sites with buildings enough, mean AUC within them, log loss at even shares."""
    areas = [
        roc_auc_score(site["damaged"], site["log_odds"])
        for _, site in buildings.groupby("site")
        if min(site["damaged"].sum(), (~site["damaged"]).sum()) >= LEAST
    ]
    return {"sites": len(areas), "auc": float(np.mean(areas)), "loss": _even_loss(buildings)}


def _even_loss(buildings: pd.DataFrame) -> float:
    """Log loss where half of each site's buildings count as damaged; temperature and shift from every other site."""
    both = buildings.groupby("site")["damaged"].transform("nunique") == 2
    rows = buildings[both]
    damaged, log_odds = rows["damaged"].to_numpy(), rows["log_odds"].to_numpy(float)
    weights = 0.5 / rows.groupby(["site", "damaged"])["damaged"].transform("size").to_numpy(float)
    weights *= len(rows) / weights.sum()  # so that the pseudo-counts of the fit stay small
    odd = (rows["site"] % 2 == 1).to_numpy()
    if odd.all() or not odd.any():
        return float("nan")
    losses = []
    for part in (odd, ~odd):
        slope, shift = platt(log_odds[part], damaged[part], weights[part])
        probability = expit(slope * log_odds[~part] + shift)
        losses.append(log_loss(damaged[~part], probability, sample_weight=weights[~part]))
    return float(np.mean(losses))


def main() -> None:
    """Grade, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--network", type=Path, nargs="+", required=True, help="runs of damage-network or one for some hazards"
    )
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS), metavar="KIND")
    parser.add_argument("--out", type=Path, default=Path("runs/by_hazard"))
    add_smoke(parser)
    arguments = parser.parse_args()
    if arguments.smoke:
        print(NOTE)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.kinds:
        buildings = grade_kind(name, arguments.network, 4 if arguments.smoke else None)
        buildings.to_parquet(arguments.out / f"{name.replace(' ', '-')}.parquet")
        groups = buildings.groupby(["head", "network"])
        table = pd.DataFrame({key: scores_of_kind(part) for key, part in groups}).T
        print(f"\n{name}, SYNTHETIC\n{table.round(3).to_string()}", flush=True)


if __name__ == "__main__":
    with plain_errors():
        main()
