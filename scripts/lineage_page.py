"""Writes docs/lineage.md from docs/lineage.yaml, the published rows of the dataset cards, and the results of the scripts.

Run: python scripts/lineage_page.py
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from deepnets4eo.cards import DatasetCard, PublishedScores
from deepnets4eo.evaluation import figures_at, spread

ROOT = Path(__file__).resolve().parents[1]
SOURCE, PAGE = ROOT / "docs" / "lineage.yaml", ROOT / "docs" / "lineage.md"
KINDS = {
    "real": "the whole dataset, or a real place",
    "sample": "a few real tiles",
    "synthetic": "SYNTHETIC data",
    "by path": "needs data that we do not have; no figure of ours",
}
RESULTS = ROOT / "experiments" / "results"  # what a script wrote, under the name of the script
EXPERIMENTS = ROOT / "experiments"
SMOKE_TIMES = RESULTS / "smoke_seconds.json"  # by scripts/smoke_times.py
FIGURE = re.compile(r"\{([^{}|]+)(?:\|(\d))?\}")  # a path in the results of a row's script, and decimals
NO_BETTER = "No better than without training"
NOT_MEASURED = "not measured in this state"  # of a script that was run as --smoke alone
HEAD = """# The lineage

The group's published systems that are in the toolbox, from support vector machines on histograms to SnapNet and damage maps: recipe or network, the script that prints the
published rows next to ours ([how to run it](#how-to-run-each-script)), and the data of our figures. Every published table has a script, and a test checks that each row, recipe and script exists.
`scripts/lineage_page.py` makes this page from `docs/lineage.yaml`. Scripts are in `experiments/`. Figures are overall accuracy in percent unless stated otherwise.

Data of our figures: {kinds}. {counts}. The last column also has the number of seeds (none: nothing is random). Figures with * are of runs whose results
were not kept as a file; all others are filled in from `experiments/results/`. {recorded} of {systems} systems have figures without *.

The column "without training" has the answer that needs none, on the same test data: the largest class, everything changed, the median of an image row, chance, or the nearest plain rule. Figures that
do not beat it by more than their spread over the seeds stand after the words **no better than without training**: they say that nothing was learnt that these data show, and put no methods in order.
"""
SCRIPTS = """## How to run each script

From the root of the checkout, with its environment; `--help` of a script explains its options and data. The second command is a trial: `--smoke` runs the whole
program on a few pixels for a few steps, and its figures mean nothing. SAMPLES is a folder with samples of the datasets, in folders of the names that the scripts state; trials
without it run on synthetic data. The time is user and system seconds of one thread ({processor}), measured by `scripts/smoke_times.py`; "not timed" means that no time is
stored. Times of whole runs are not stored: each training prints its own when it begins. `make figures DATA=SAMPLES` makes every figure again, one after the other in the order of what its hours are worth, and goes on
where it was stopped; `make figures LIST=1` shows each row with its cost and state.

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
    path = (RESULTS / system["script"]).with_suffix(".json")
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def figure_values(results: Any, path: str) -> list[float]:
    """Return the numbers at a path of names in results: one, or one per seed. Raises KeyError."""
    values = figures_at(results, path)
    if values is None:
        raise KeyError(path)
    return values


def named_paths(results: Any, path: str) -> list[str]:
    """Return the paths that a path stands for: * is each name that the results have at its place."""
    before, star, after = path.partition("*")
    if not star:
        return [path]
    at = results
    for name in before.split(">")[:-1]:
        at = at[name]
    return [one for name in at for one in named_paths(results, f"{before}{name}{after}")]


@lru_cache(maxsize=1)
def read_lineage() -> dict[str, Any]:
    """Return docs/lineage.yaml, which is read once: the page asks it for the words of every script."""
    lineage: dict[str, Any] = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    return lineage


def scripts_of(lineage: Mapping[str, Any]) -> list[str]:
    """Return the names of all scripts of the systems and figures, sorted."""
    systems = {system["script"] for family in lineage["families"] for system in family["systems"]}
    return sorted(systems | {one["script"] for one in lineage["figures"] if not one["script"].startswith("tests/")})


def smoked() -> list[str]:
    """Return the scripts whose --smoke runs on the samples."""
    lineage = read_lineage()
    texts = {name: (EXPERIMENTS / name).read_text(encoding="utf-8") for name in scripts_of(lineage)}
    return [
        name
        for name, text in texts.items()
        if ("add_smoke(" in text or "contest_options(" in text) and lineage["smoke"].get(name) != "skip"
    ]


def smoke_words(script: str, samples: str | Path, out: str | Path) -> list[str]:
    """Return the words of the command that tries a script on the folder of real samples."""
    further = read_lineage()["smoke"].get(script) or ""
    text = (EXPERIMENTS / script).read_text(encoding="utf-8")
    words = [f"experiments/{script}", "--smoke", *shlex.split(further.format(data=samples))]
    return words + (["--out", str(out)] if '"--out"' in text or "contest_options(" in text else [])


def smoke_times() -> dict[str, dict[str, Any]]:
    """Return what scripts/smoke_times.py measured: script → seconds, and the processor that they were measured on."""
    if not SMOKE_TIMES.is_file():
        return {}
    stored: dict[str, dict[str, Any]] = json.loads(SMOKE_TIMES.read_text(encoding="utf-8"))
    return stored


def usage_of(script: str) -> str:
    """Return the first command in the docstring of a script, without the words that explain it."""
    text = ast.get_docstring(ast.parse((EXPERIMENTS / script).read_text(encoding="utf-8"))) or ""
    line = re.search(r"(?:Usage|Run): (python experiments/\S+(?: \S+)*)", text)
    assert line, f"{script} does not state how it is called"
    return line[1].partition(", see --help")[0] + ("]" if ", see --help" in line[1] else "")


def anchor_of(script: str) -> str:
    """Return the name of the row of a script in the table of scripts."""
    return script.removesuffix(".py").replace("/", "-")


def linked(script: str) -> str:
    """Return the name of a script, linked to its row in the table of scripts; tests have none."""
    return f"`{script}`" if script.startswith("tests/") else f"[`{script}`](#{anchor_of(script)})"


def duration(time: Mapping[str, Any] | None, usual: str) -> str:
    """Return a processor time in words, with its processor if that is not the usual one."""
    if time is None:
        return "not timed"
    seconds, on = time["seconds"], "" if time["processor"] == usual else f" on {time['processor']}"
    return (f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min") + on


def script_table(lineage: Mapping[str, Any]) -> str:
    """Return the section that states how each script is called, and how long a trial of it takes."""
    times = smoke_times()
    processors = Counter(time["processor"] for time in times.values())
    usual = processors.most_common(1)[0][0] if processors else ""
    trials = set(smoked())
    parts = []
    for script in scripts_of(lineage):
        lines, time = [usage_of(script)], ""
        if script in trials:
            lines.append(f"python {shlex.join(smoke_words(script, 'SAMPLES', 'OUT'))}")
            time = f", trial: {duration(times.get(script), usual)}"
        commands = "\n".join(lines)
        parts.append(f'<a id="{anchor_of(script)}"></a>`{script}`{time}\n\n```sh\n{commands}\n```\n')
    return SCRIPTS.format(processor=usual) + "\n".join(parts).rstrip("\n")


def value_at(system: Mapping[str, Any], path: str) -> list[float]:
    """Return the numbers that a path of a zero names: a number itself, a path in the results of the system's script, or of "OTHER.py:PATH"."""
    try:
        return [float(path)]
    except ValueError:
        script, colon, rest = path.partition(".py:")
        return figure_values(results_of({"script": f"{script}.py"} if colon else system), rest if colon else path)


def fill(system: Mapping[str, Any], text: str) -> str:
    """Return a text with the figures that it names in braces, as mean ± sd over the seeds."""
    return FIGURE.sub(lambda one: spread(value_at(system, one[1]), int(one[2] or 1)), text)


def no_better(entry: Mapping[str, Any]) -> list[str]:
    """Return the paths of the figures that do not beat their zero by more than their spread. entry : a system or a row of `figures`"""
    zero = entry.get("zero")
    if not isinstance(zero, Mapping):
        return []
    sign = -1 if zero.get("less") else 1
    failed = []
    pairs = [
        (path, trivial)
        for paths, trivial in zero["beats"].items()
        for path in (named_paths(results_of(entry), paths) if "*" in paths else [paths])
    ]
    for path, trivial in pairs:
        values, answer = value_at(entry, path), value_at(entry, trivial)
        gain = sign * (sum(values) / len(values) - sum(answer) / len(answer))
        if gain <= (statistics.stdev(values) if len(values) > 1 else 0.0):
            failed.append(path)
    return failed


def zero_cell(system: Mapping[str, Any]) -> str:
    """Return the answer that needs no training, in one cell of a table."""
    zero = system.get("zero", "")
    return fill(system, zero["what"]) if isinstance(zero, Mapping) else str(zero)


def ours_cell(system: Mapping[str, Any]) -> str:
    """Return our figures, those in braces filled in from the results of the script, and which are no better than the zero; a star marks others."""
    if not system.get("recorded", True):
        return f"{system['ours']} *"
    decimals = {path: int(digits or 1) for path, digits in FIGURE.findall(system["ours"])}
    worse = [spread(value_at(system, path), decimals.get(path, 1)) for path in no_better(system)]
    return fill(system, system["ours"]) + (f". **{NO_BETTER}**: {', '.join(worse)}" if worse else "")


def kind_cell(system: Mapping[str, Any]) -> str:
    """Return what ours ran on and the number of seeds, if it is random."""
    count = system.get("seeds", 0)
    words = {0: "", 1: ", one seed"}.get(count, f", {count} seeds")
    return system["kind"] + words


def page(lineage: Mapping[str, Any]) -> str:
    """The whole page in Markdown."""
    systems = [system for family in lineage["families"] for system in family["systems"]]
    count = Counter(system["kind"] for system in systems)
    count_recorded = sum(system.get("recorded", True) and system["kind"] != "by path" for system in systems)
    told = f"Of {len(systems)} systems: " + ", ".join(f"{count[kind]} {kind}" for kind in KINDS)
    kinds, smoke = (
        "; ".join(f"*{kind}* ({meaning})" for kind, meaning in KINDS.items()),
        sum(one["ours"] == NOT_MEASURED for one in systems),
    )
    parts = [
        HEAD.format(kinds=kinds, counts=told, recorded=count_recorded, systems=len(systems))
        + (SMOKE_ALONE.format(smoke=smoke) if smoke else "")
    ]
    for family in lineage["families"]:
        parts.append(f"## {family['family']}\n\n{family['about']}\n")
        if "picture" in family:
            parts.append(f"![{family['caption']}]({family['picture']})\n\n*{family['caption']}*\n")
        lines = [
            "| system | recipes, networks | script | published | ours | without training | on |",
            "|---|---|---|---|---|---|---|",
        ]
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
                linked(system["script"]),
                published_cell(system),
                ours_cell(system),
                zero_cell(system),
                kind_cell(system),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(lines) + "\n")
    parts.append(
        "## Figures and their scripts\n\nRows and tables of the README and of [Methods and figures](methods.md), and what makes each again. "
        "Those with * have figures that are in no file of results; figures of the others have marks on the page, by which `python experiments/printed_figures.py` writes them.\n"
    )
    lines = ["| page | figure | script |", "|---|---|---|"]
    for one in lineage["figures"]:
        figure = one.get("begins", one.get("text")).replace("|", "/").replace("[", "").replace("]", "")
        star = "" if one.get("recorded", True) else " *"
        lines.append(f"| {one['page']} | {figure.split('(')[0].strip()}{star} | {linked(one['script'])} |")
    return "\n".join([*parts, "\n".join(lines), "", script_table(lineage), ""])


def main() -> int:
    """Write the page."""
    text = page(read_lineage())
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
