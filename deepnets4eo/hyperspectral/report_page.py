"""The page of a hyperspectral report: scores, leakage and figures in one file that loads nothing from elsewhere.

Takes what a run measured and figures as PNG; returns HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from deepnets4eo.evaluation.report import BY_CLASS, OVERALL, percent
from deepnets4eo.outputs.html import image_address
from deepnets4eo.version import __version__

STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:76rem;margin:0 auto;padding:1rem}
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .7rem;border-bottom:1px solid #8884;text-align:right}
th:first-child,td:first-child{text-align:left}
.scroll{overflow-x:auto}
img{max-width:min(100%,var(--wide,76rem));background:#fff;border-radius:4px}
.note{border-left:4px solid #0072b2;background:#0072b21a;padding:.5rem .9rem;margin:1rem 0}
.warning{border-color:#d55e00;background:#d55e001f}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:0}dt{opacity:.7}dd{margin:0}
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
    """The page; left_out : scenes of which no map was drawn."""
    synthetic = bool(metrics.get("synthetic"))
    title = f"{'SYNTHETIC: ' if synthetic else ''}{recipe['model']['network'] or _method(recipe)}"
    more = f"<p>{left_out} further scenes are not drawn.</p>" if left_out else ""
    body = [
        f"<h1>{escape(title)}</h1>",
        _facts(metrics, card, recipe),
        '<p class="note warning">The scene is made up: its scores say nothing about real places.</p>'
        if synthetic
        else "",
        _leakage(metrics["protocol"]),
        "<h2>Scores of the withheld pixels</h2>",
        _table(("", "percent"), ((TITLES[name], percent(metrics[name])) for name in OVERALL)),
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
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{escape(title)}</title>"
    return f"<!doctype html>\n<html lang=en><head>{head}<style>{STYLE}</style></head><body>\n" + "\n".join(
        part for part in body if part
    ) + "\n</body></html>\n"  # fmt: skip


def _method(recipe: Mapping[str, Any]) -> str:
    return f"{recipe['estimator']['name']} on {recipe['model']['method']}"


def _facts(metrics: Mapping[str, Any], card: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
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
            *(percent(metrics[score][name]) for score in BY_CLASS),
        )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return f'<div class="scroll"><table>{"".join(f"<tr>{line}</tr>" for line in lines)}</table></div>'


def _image(path: Path, words: str, style: str = "") -> str:
    address = image_address(path.read_bytes(), "png")
    return f'<p><img alt="{escape(words)}" style="{style}" src="{address}"></p>'
