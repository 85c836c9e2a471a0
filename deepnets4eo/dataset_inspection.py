"""Does a folder hold the dataset that a card describes: what is there, what is missing, what cannot be read.

Takes a folder and a card's layout patterns; refuses nothing: troubles are said as problems. Opens headers only.
"""

from __future__ import annotations

import re
from pathlib import Path

from deepnets4eo.catalog import datasets
from deepnets4eo.dataset_card import DatasetCard
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json
from deepnets4eo.inspection import Inspection
from deepnets4eo.scene import Layer

SHOWN = 5  # examples of each trouble
ENOUGH_LAYERS = 2  # that must match before a folder is taken for a dataset

Items = dict[tuple[str, ...], Path]


def recognise(root: Path) -> DatasetCard | None:
    """The card whose layout fits the folder best, if any does."""
    best = max((DatasetCard.load(name) for name in datasets()), key=lambda card: len(_layers(root, card)), default=None)
    return best if best is not None and len(_layers(root, best)) >= ENOUGH_LAYERS else None


def inspect_dataset(path: str, card: DatasetCard) -> Inspection:
    """Explain a folder by a card: items, layers, what is missing and what cannot be opened."""
    result = Inspection(path, f"dataset {card.name}")
    layers = _layers(Path(path), card)
    result.facts |= {"title": card.title, "licence": card.licence, "legend": card.legend}
    items = sorted({key for found in layers.values() for key in found})
    for layer, pattern in card.layout.items():
        result.facts[layer] = f"{len(layers[layer])} of {len(items)} ({pattern})" if layer in layers else "none"
    if not items:
        result.problems.append(
            f"nothing lies as the card says, e.g. {next(iter(card.layout.values()))}. Check the folder."
        )
    for layer, found in layers.items():
        missing = ["/".join(key) for key in items if key not in found]
        if missing:
            result.problems.append(f"{len(missing)} items have no {layer}: {_some(missing)}.")
    unreadable = [str(file) for found in layers.values() for file in found.values() if not _opens(file)]
    if unreadable:
        result.problems.append(f"{len(unreadable)} files cannot be opened: {_some(unreadable)}. Fetch them again.")
    return result


def _layers(root: Path, card: DatasetCard) -> dict[str, Items]:
    """Layer to its files, by what the placeholders of the pattern stand for; layers without any file are left out."""
    found = {layer: _items(root, pattern) for layer, pattern in card.layout.items()}
    return {layer: items for layer, items in found.items() if items}


def _items(root: Path, pattern: str) -> Items:
    parts = re.split(r"\{(\w+)\}", pattern)
    names = sorted(set(parts[1::2]))
    seen: set[str] = set()
    expression = ""
    for place, part in enumerate(parts):
        if place % 2 == 0:
            expression += re.escape(part)
        else:
            expression += f"(?P={part})" if part in seen else f"(?P<{part}>[^/]+?)"
            seen.add(part)
    matches = (
        (re.fullmatch(expression, file.relative_to(root).as_posix()), file)
        for file in root.glob(re.sub(r"\{\w+\}", "*", pattern))
    )
    return {tuple(match[name] for name in names): file for match, file in matches if match}


def _opens(file: Path) -> bool:
    try:
        if file.suffix == ".json":
            read_json(file)
        elif file.suffix in {".tif", ".tiff", ".png", ".jpg", ".bmp"}:
            Layer.open(file)
    except InputError:
        return False
    return True


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
