"""The page of a run: facts, leakage, scores of the withheld pixels, maps and spectra, in one file that works offline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from deepnets4eo.evaluation import ScoreNames, percent
from deepnets4eo.outputs import document_head, image_address, wide
from deepnets4eo.version import __version__

STYLE = """
table { margin: 8px 0; font-variant-numeric: tabular-nums; } th, td { text-align: right; } th:first-child, td:first-child { text-align: left; }
img { display: block; max-width: min(100%, var(--wide, 1240px)); background: #fff; border-radius: 4px; margin: 8px 0; }
.note { color: var(--ink); border-left: 4px solid var(--accent); background: var(--raised); padding: 8px 14px; margin: 12px 0; }
.warning { border-color: #d55e00; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 8px 0; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
"""
TITLES = {"overall_accuracy": "Overall accuracy", "kappa": "Kappa", "average_accuracy": "Average accuracy",
          "mean_f1": "Mean F1", "mean_iou": "Mean IoU", "fw_iou": "IoU by frequency"}  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """PNG files of a report: maps of scenes, spectra of the classes, confusion matrix."""

    maps: Sequence[Path]
    spectra: Path
    confusion: Path


def page(
    metrics: Mapping[str, Any], card: Mapping[str, Any], recipe: Mapping[str, Any], figures: Figures, left_out: int
) -> str:
    """Return the page; left_out : number of scenes without a drawn map."""
    synthetic = bool(metrics.get("synthetic"))
    title = f"{'SYNTHETIC: ' if synthetic else ''}{recipe['model']['network'] or _method(recipe)}"
    more = f"<p>{left_out} further scenes are not drawn.</p>" if left_out else ""
    body = [
        f"<h1>{escape(title)}</h1>",
        _facts(metrics, card),
        '<p class="note warning">The scene is made up: its scores say nothing about real places.</p>'
        if synthetic
        else "",
        _leakage(metrics["protocol"]),
        "<h2>Scores of the withheld pixels</h2>",
        _table(("", "percent"), ((TITLES[name], percent(metrics[name])) for name in ScoreNames.overall)),
        "<h2>By class</h2>",
        _table(("class", "learnt px", "withheld px", "F1", "IoU", "precision", "recall"), _class_rows(metrics)),
        "<h2>Maps</h2>",
        "<p>The map covers all pixels, also those learnt from; the right panel shows which these are.</p>",
        *(_image(path, f"Cube, reference, map and parts of scene {n}") for n, path in enumerate(figures.maps, start=1)),
        more,
        "<h2>Spectra of the classes</h2>",
        _image(figures.spectra, "Mean spectrum and one standard deviation of each class"),
        "<h2>Confusion matrix</h2>",
        "<p>Withheld pixels, each row in percent of its reference class.</p>",
        _image(figures.confusion, "Confusion matrix", "--wide:40rem"),
        f"<p><small>deepnets4eo {escape(__version__)}</small></p>",
    ]
    head = f"{document_head(title)}<style>{STYLE}</style></head>"
    return f"{head}<body data-ready><main>\n" + "\n".join(part for part in body if part) + "\n</main></body></html>\n"


def _method(recipe: Mapping[str, Any]) -> str:
    return f"{recipe['estimator']['name']} on {recipe['model']['method']}"


def _facts(metrics: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    split, notes = metrics["protocol"]["split"], card["notes"]
    sizes = ", ".join(
        f"{name} {', '.join(map(str, split[name]))}" for name in ("block_px", "buffer_px") if name in split
    )
    facts = {
        "Legend": metrics["legend"],
        "Scenes": ", ".join(list(notes["scenes"])[:8]) + (" …" if len(notes["scenes"]) > 8 else ""),
        "Split": f"{split['kind']}{f' ({sizes})' if sizes else ''}",
        "Seed": card["seed"],
        "Epochs": notes.get("epochs"),
        "Training": f"{notes['seconds']:.0f} s" if "seconds" in notes else None,
        "Dataset": (split.get("dataset") or {}).get("name"),
    }
    rows = (f"<dt>{name}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items() if value is not None)
    return f"<dl>{''.join(rows)}</dl>"


def _leakage(protocol: Mapping[str, Any]) -> str:
    leakage, leaky = protocol["leakage"], protocol["leaky"]
    share, own = (percent(leakage[name]) for name in ("share_patch_overlaps", "share_patch_shows_training_pixel"))
    text = (
        f"Leakage: the patches ({leakage['patch_px']} px) of {share} % of the {leakage['test_pixels']:,} withheld pixels overlap "
        f"a training pixel's patch; those of {own} % show a training pixel."
    )
    if leaky:
        text += " The split is leaky: neighbours of withheld pixels were learnt from, so these scores say little about other sites."
    return f'<p class="note{" warning" if leaky or leakage["share_patch_shows_training_pixel"] else ""}">{escape(text)}</p>'


def _class_rows(metrics: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    for name, pixels in metrics["protocol"]["pixels"].items():
        yield (
            name,
            f"{pixels['train']:,}",
            f"{pixels['test']:,}",
            *(percent(metrics[score][name]) for score in ScoreNames.by_class),
        )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return wide(f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>")


def _image(path: Path, words: str, style: str = "") -> str:
    address = image_address(path.read_bytes(), "png")
    return f'<p><img alt="{escape(words)}" style="{style}" src="{address}"></p>'
