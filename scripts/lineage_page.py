"""Writes docs/lineage.md from docs/lineage.yaml, the published rows of the dataset cards, and the results of the scripts.

Run: python scripts/lineage_page.py
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deepnets4eo.cards import DatasetCard, PublishedScores
from deepnets4eo.evaluation import spread

ROOT = Path(__file__).resolve().parents[1]
SOURCE, PAGE = ROOT / "docs" / "lineage.yaml", ROOT / "docs" / "lineage.md"
KINDS = {
    "real": "the whole data, or a real place",
    "sample": "a few real tiles",
    "synthetic": "SYNTHETIC",
    "by path": "bring the data; no figure of ours",
}
RESULTS = ROOT / "experiments" / "results"  # what a script wrote, under the name of the script
FIGURE = re.compile(r"\{([^{}|]+)(?:\|(\d))?\}")  # a path in the results of a row's script, and decimals
NOT_MEASURED = "not measured in this state"  # of a script that was run as --smoke alone
HEAD = """# The lineage

What of the group's published systems is here, from support vector machines on histograms to SnapNet and damage maps: recipe or network, the script that prints the
published rows beside ours, and what ours ran on. Every published table has a script; a test holds that each row, recipe and script stays. Made by
`scripts/lineage_page.py` from `docs/lineage.yaml`. Scripts stand in `experiments/`. Figures are overall accuracy in percent where nothing else is said.

Ours ran on: {kinds}. {counts}. The last column also has the number of seeds (none: nothing is random). Figures with * are of runs whose results
were not kept as a file; all others are filled in from `experiments/results/`.
"""
SMOKE_ALONE = '"Not measured in this state" ({smoke} of them) says that the script was tried as `--smoke` alone.\n'


def published_rows(system: Mapping[str, Any]) -> Iterator[tuple[str, str, PublishedScores]]:
    """Card, name and scores of each published row that a system names."""
    for card, names in system.get("rows", {}).items():
        known = DatasetCard.load(card).published
        for name in known if names == "all" else names:
            yield card, name, known[name]


def figure_of(scores: PublishedScores) -> str:
    """The score of a published row that stands for it."""
    overall = (
        ("OA", scores.overall_accuracy), ("mean IoU", scores.mean_iou), ("mean F1", scores.mean_f1),
    )  # fmt: skip
    for name, value in overall:
        if value is not None:
            return f"{name} {value:g}"
    name, value = list(scores.f1.items())[-1]
    return f"F1 of {name} {value:g}"


def published_cell(system: Mapping[str, Any]) -> str:
    """The published figures of a system in one cell of a table."""
    rows = [f"{name}: {figure_of(scores)}" for _, name, scores in published_rows(system)]
    words = [system["published"]] if "published" in system else []
    return "; ".join([*rows, *words])


def results_of(system: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the script of a system wrote."""
    path = RESULTS / f"{Path(system['script']).stem}.json"
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def figure_values(results: Any, path: str) -> list[float]:
    """Return the numbers at a path of names in results: one, or one per seed."""
    for name in path.split(">"):
        results = results[name]
    values = results if isinstance(results, list) else [results]
    return [float(value) for value in values]


def ours_cell(system: Mapping[str, Any]) -> str:
    """Return our figures, those in braces filled in from the results of the script; a star marks others."""
    if not system.get("recorded", True):
        return f"{system['ours']} *"
    results = results_of(system) if FIGURE.search(system["ours"]) else {}
    return FIGURE.sub(lambda one: spread(figure_values(results, one[1]), int(one[2] or 1)), system["ours"])


def kind_cell(system: Mapping[str, Any]) -> str:
    """Return what ours ran on and the number of seeds, if it is random."""
    count = system.get("seeds", 0)
    words = {0: "", 1: ", one seed"}.get(count, f", {count} seeds")
    return system["kind"] + words


def page(lineage: Mapping[str, Any]) -> str:
    """The whole page in Markdown."""
    systems = [system for family in lineage["families"] for system in family["systems"]]
    count = Counter(system["kind"] for system in systems)
    told = ", ".join(f"{count[kind]} of {len(systems)} systems {kind}" for kind in KINDS)
    kinds, smoke = (
        "; ".join(f"{kind}: {meaning}" for kind, meaning in KINDS.items()),
        sum(one["ours"] == NOT_MEASURED for one in systems),
    )
    parts = [HEAD.format(kinds=kinds, counts=told) + (SMOKE_ALONE.format(smoke=smoke) if smoke else "")]
    for family in lineage["families"]:
        parts.append(f"## {family['family']}\n\n{family['about']}\n")
        if "picture" in family:
            parts.append(f"![{family['caption']}]({family['picture']})\n\n*{family['caption']}*\n")
        lines = ["| system | recipes, networks | script | published | ours | on |", "|---|---|---|---|---|---|"]
        for system in family["systems"]:
            built = [
                *system.get("recipes", ()),
                *(f"network {one}" for one in system.get("networks", ())),
                *(f"head {one}" for one in system.get("heads", ())),
            ]
            name = f"[{system['system']}]({system['page']}) ({system['source']})"
            cells = [
                name,
                ", ".join(f"`{one}`" for one in built),
                f"`{system['script']}`",
                published_cell(system),
                ours_cell(system),
                kind_cell(system),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(lines) + "\n")
    parts.append(
        "## Figures and their scripts\n\nRows and tables of the README and of [Methods and figures](methods.md), and what makes each again.\n"
    )
    lines = ["| page | figure | script |", "|---|---|---|"]
    for one in lineage["figures"]:
        figure = one.get("begins", one.get("text")).replace("|", "/").replace("[", "").replace("]", "")
        lines.append(f"| {one['page']} | {figure.split('(')[0].strip()} | `{one['script']}` |")
    return "\n".join([*parts, "\n".join(lines), ""])


def main() -> int:
    """Write the page."""
    text = page(yaml.safe_load(SOURCE.read_text(encoding="utf-8")))
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
