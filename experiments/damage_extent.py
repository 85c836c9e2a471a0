"""Share of a roof that is damaged, by the pixels of the damage network: does it separate minor, major and destroyed?

Usage: python experiments/damage_extent.py --data FOLDER --out FOLDER [--smoke]

FOLDER has the graded places of `real_places.py` with grades of four steps (Joplin, xBD). The share of a building is the share of its visible pixels whose grade
is likelier major or worse than less. It is scored like the probability that the network has from the mean over the same pixels: AUC of major against minor
and of destroyed against major over all buildings and by place, and the mean by grade. Nothing is trained. Writes table.md and results.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from places.damage_scores import EVENTS_MORE, SITES, XBD_MORE, DamageCase
from scipy.special import softmax
from script import add_smoke, plain_errors, title_of
from sklearn.metrics import roc_auc_score

from deepnets4eo.damage import Settings, assess
from deepnets4eo.damage.network.grader import NetworkGrader
from deepnets4eo.damage.network.pooling import NetworkTile, Pooled, TileSums, _sum_tile, pool_tiles
from deepnets4eo.damage.network.roof_parts import Roofs
from deepnets4eo.damage.table.vocabulary import GRADES, MAJOR
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.files import write_json, write_text
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.tiling import Tile, Tiling

PAIRS = {"major against minor": (1, 2), "destroyed against major": (2, 3)}
MIN_OF_A_GRADE = 5  # buildings of either grade, for an AUC of one place
SHARE, PROBABILITY = "share of pixels", "probability"
SITE_NAMES = ["joplin", "xbd_midwest", *XBD_MORE, *EVENTS_MORE]  # graded in four steps on two dates


@contextmanager
def shares_beside(pooled_rows: list[np.ndarray]) -> Iterator[None]:
    """Let the network also append (N, 2) to `pooled_rows`: the share of pixels of each roof that is damaged, and the probability from their mean."""
    pool = NetworkGrader._pool

    def with_shares(
        self: NetworkGrader, scene: Scene, roofs: Roofs, inputs: InputSpec, tiling: Tiling, *rest: Any
    ) -> Pooled:
        pooled = pool(self, scene, roofs, inputs, tiling, *rest)
        if inputs.names == self.run.inputs.names:  # of both dates

            def sum_tile(tile: Tile, prepared: NetworkTile) -> TileSums:
                logits = self.run.segmenter.predict_raw(prepared.bands[None], margin_px=tiling.halo_px)[0]
                grades = softmax(logits / self.temperature + self.grade_odds[:, None, None], axis=0)
                damaged = (grades[MAJOR:].sum(axis=0) >= 0.5).astype(np.float32)[None]
                return _sum_tile(roofs.outlines, tile, damaged, prepared.valid)

            shares = pool_tiles(scene, roofs.outlines, inputs, tiling, sum_tile, 1).mean[: len(roofs), 0]
            probability = self._soften(pooled, self.temperature)[: len(roofs), MAJOR:].sum(axis=1)
            pooled_rows.append(np.column_stack([shares, probability]))
        return pooled

    NetworkGrader._pool = with_shares  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        NetworkGrader._pool = pool  # type: ignore[method-assign]


def rows_of(case: DamageCase) -> pd.DataFrame:
    """Return truth (0–3), share and probability of the graded buildings of a case that the network saw on both dates."""
    pooled_rows: list[np.ndarray] = []
    with shares_beside(pooled_rows):
        damage_map = assess(
            case.pre, case.post, case.outlines, settings=replace(Settings(), **case.changes), event=case.event
        )
    if not pooled_rows:
        return pd.DataFrame()
    table = pd.DataFrame(pooled_rows[-1], columns=[SHARE, PROBABILITY])
    grades = dict(zip(case.truth["id"].astype(str), case.truth["damage"], strict=True))
    names = damage_map.buildings["id"].astype(str).map(grades)
    table["truth"] = names.map({grade: number for number, grade in enumerate(GRADES)}).to_numpy()
    table["site"] = case.site
    return table[table["truth"].notna() & table[SHARE].notna()]


def auc(rows: pd.DataFrame, lower: int, higher: int, column: str) -> float | None:
    """Return how often a building of the higher grade has the larger value; None with few of either."""
    of_pair = rows[rows["truth"].isin([lower, higher])]
    is_higher = of_pair["truth"] == higher
    if min(int(is_higher.sum()), int((~is_higher).sum())) < MIN_OF_A_GRADE:
        return None
    return round(float(roc_auc_score(is_higher, of_pair[column])), 3)


def scores(rows: pd.DataFrame) -> dict[str, Any]:
    """Return AUC of both pairs of grades by either value, and the mean share by grade."""
    by_grade = rows.groupby("truth")[SHARE].agg(["mean", "size"])
    names = [GRADES[grade] for grade in by_grade.index.astype(int)]
    return {
        "auc": {pair: {column: auc(rows, *grades, column) for column in (SHARE, PROBABILITY)} for pair, grades in PAIRS.items()},
        "mean share": dict(zip(names, by_grade["mean"].round(3).tolist(), strict=True)),
        "buildings": dict(zip(names, by_grade["size"].tolist(), strict=True)),
    }  # fmt: skip


def main() -> None:
    """Score and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the samples")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    add_smoke(parser)
    chosen = parser.parse_args()
    tables = []
    for site in SITES:
        if site.name not in SITE_NAMES or not (chosen.data / site.folder).exists():
            continue
        for case in site.read(chosen.data / site.folder):
            if case.pre is None or not set(GRADES[1:3]) & set(case.truth["damage"]):
                continue
            try:
                tables.append(rows_of(case))
            except DeepNets4EOError as error:
                print(case.site, error)
                continue
            print(case.site, scores(tables[-1]) if len(tables[-1]) else "no pair", flush=True)
        if chosen.smoke and tables:
            break
    rows = pd.concat(tables)
    results = {
        "smoke": chosen.smoke,
        "together": scores(rows),
        "by place": {str(name): scores(some) for name, some in rows.groupby("site")},
    }
    lines = [
        f"| {name} | {pair} | {of[SHARE]} | {of[PROBABILITY]} |"
        for name, one in {"together": results["together"], **results["by place"]}.items() for pair, of in one["auc"].items()
    ]  # fmt: skip
    head = [
        f"# {title_of('Share of damaged pixels of a roof, AUC', smoke=chosen.smoke)}",
        "",
        f"| place | pair | {SHARE} | {PROBABILITY} |",
        "|---|---|---:|---:|",
    ]
    write_text(chosen.out / "table.md", "\n".join([*head, *lines, ""]))
    write_json(chosen.out / "results.json", results)
    print("\n".join(lines))


if __name__ == "__main__":
    with plain_errors():
        main()
