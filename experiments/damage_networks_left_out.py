"""How networks for building damage fare on hazards and styles that they never learnt. SYNTHETIC: made-up places alone.

Usage: python experiments/damage_networks_left_out.py --out FOLDER --network RUN RUN RUN [--sites 80] [--smoke]

RUNs come from world_train_damage.py with --left-out-hazards and --left-out-styles, each with another seed and another part left
out, so that every hazard and every style is new to one of them and known to the others. All grade the same sites, of seeds that no
training uses. A line a hazard and a style: the area under the curve of major damage or worse within a site, mean over sites, of
the network to which it is new, and of those that know it; both heads. Then ± over the networks for all of them together.
These runs were begun from models/buildings, which has seen images of every style and hazard, but no grade:
python experiments/world_train_damage.py --world world --start models/buildings --seed 0 --left-out-hazards earthquake flood wildfire
  --left-out-styles arid-suburb countryside farms informal red-earth-town retail suburb tropical-village --out runs/part0
  --set train.lr=8e-4 train.schedule=one_cycle train.warmup_share=0.1 train.epochs=4 data.val_pairs=12
and so on: explosion, hurricane, tsunami and each third style from campus on; lahar, tornado and each third from concrete-blocks on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from places.results import markdown_table
from script import plain_errors
from smoke import NOTE, add_smoke

from deepnets4eo.damage import GradedPair
from deepnets4eo.damage.siamese.scoring import MAJOR, Graded
from deepnets4eo.damage.siamese.stream_scores import LEAST_OF_A_KIND, grade_stream, to_labelled_pair
from deepnets4eo.evaluation import spread
from deepnets4eo.files import write_json, write_text
from deepnets4eo.segmenters.run import Run, load_run
from deepnets4eo.synthetic.world.damage_training import places_in_turn
from deepnets4eo.synthetic.world.hazard import hazard_names
from deepnets4eo.synthetic.world.style import style_names

FIRST_SEED, SIZE_PX, GSD_M = 9_100_000, 512, 0.5
KINDS, HEADS = ("hazard", "style"), ("pair", "post")
Row = dict[str, Any]


def sites(count: int) -> Iterator[GradedPair]:
    """All styles and all hazards in turn; those without a graded building are left out."""
    styles, hazards = style_names(), [name for name in hazard_names() if name != "none"]
    return places_in_turn(FIRST_SEED, count, SIZE_PX, styles, hazards)


def of_both_kinds(graded: Graded) -> bool:
    """Whether there are enough damaged and enough other buildings for an area under the curve."""
    damaged = int((graded.grades >= MAJOR).sum())
    return min(damaged, len(graded.grades) - damaged) >= LEAST_OF_A_KIND


def rows_of(site: GradedPair, number: int, runs: Sequence[Run]) -> Iterator[Row]:
    """One row a network and head; none where there are too few buildings of a kind."""
    known = [to_labelled_pair(site, number, GSD_M)]
    for run in runs:
        data = run.recipe["data"]
        new = {f"new_{kind}": getattr(site, kind) in data[f"left_out_{kind}s"] for kind in KINDS}
        graded = grade_stream(run.segmenter, run.inputs, [site], known)
        for head in HEADS:
            one: Graded = getattr(graded, head)
            if of_both_kinds(one):
                yield {
                    "site": number, "hazard": site.hazard, "style": site.style, **new, "network": str(run.folder),
                    "head": head, "auc": one.auc,
                }  # fmt: skip


def lines_of(rows: pd.DataFrame, kind: str) -> Iterator[list[str]]:
    """A line for every hazard or style: sites, then AUC where it is new and where it is known, by head."""
    for name, part in rows.groupby(kind):
        yield [kind, str(name), str(part["site"].nunique()), *_new_and_known(part, kind)]
    yield [kind, "all, ± over networks", str(rows["site"].nunique()), *_new_and_known(rows, kind, over=True)]


def _new_and_known(rows: pd.DataFrame, kind: str, *, over: bool = False) -> list[str]:
    cells = []
    for head in HEADS:
        for new in (True, False):
            part = rows[(rows["head"] == head) & (rows[f"new_{kind}"] == new)]
            values = part.groupby("network")["auc"].mean() if over else [part["auc"].mean()]
            cells.append(spread(values, 3))
    return cells


def main() -> None:
    """Grade all sites with all networks; table.md and table.json in --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--network", type=Path, nargs="+", required=True)
    parser.add_argument("--sites", type=int, default=80)
    add_smoke(parser)
    options = parser.parse_args()
    if options.smoke:
        options.sites = 3
        print(NOTE)
    runs = [load_run(folder) for folder in options.network]
    table_rows = [row for number, site in enumerate(sites(options.sites)) for row in rows_of(site, number, runs)]
    rows = pd.DataFrame(table_rows)
    write_json(options.out / "table.json", {"synthetic": True, "rows": table_rows})
    head = ["", "", "sites", "pairs: new", "pairs: known", "post alone: new", "post alone: known"]
    table = markdown_table(head, [line for kind in KINDS for line in lines_of(rows, kind)])
    title = "# SYNTHETIC: AUC of major damage or worse within a site, by what is new to a network"
    print(write_text(options.out / "table.md", f"{title}\n\n{table}\n").read_text(encoding="utf-8"))


if __name__ == "__main__":
    with plain_errors():
        main()
