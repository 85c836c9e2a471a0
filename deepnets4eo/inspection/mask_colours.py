"""Describes a folder of masks by colour with its classes.json, whose colours need not be those of the masks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from deepnets4eo.cards.legend import Color, colour_problem
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.rasters.views import palette_of

CLASSES = "classes.json"
FOLDERS = re.compile(r"mask|label|ann|gt", re.IGNORECASE)  # that masks lie in
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
LOOKED_AT = 20  # masks, evenly spread
NAMED = 8


def describe_masks(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Facts and problems of the masks in folders below one. Errors: InputError for a classes.json that holds no classes."""
    named = class_colours(folder / CLASSES)
    masks = sorted(
        path for path in folder.rglob("*.*") if path.suffix.lower() in SUFFIXES and FOLDERS.search(path.parent.name)
    )
    facts = {"classes": f"{len(named)}, by {CLASSES}: {', '.join(named)}", "masks": f"{len(masks):,}"}
    if not masks:
        return facts, [f"it has {CLASSES}, but no folder of masks. Give the folder that holds both."]
    counts = Counter[Color]()
    for path in masks[:: max(1, len(masks) // LOOKED_AT)][:LOOKED_AT]:
        layer = Layer.open(path)
        if (table := palette_of(layer)) is not None:
            for number, count in zip(*np.unique(layer.read()[0], return_counts=True), strict=True):
                counts[table[int(number)]] += int(count)
            continue
        if layer.count != 3 or layer.dtype != np.uint8:
            return facts, [
                f"{path} has {layer.count} bands of {layer.dtype}: its masks are no colours, and {CLASSES} says nothing of them."
            ]
        colours, occurrences = np.unique(layer.read()[0].reshape(3, -1), axis=1, return_counts=True)
        for colour, count in zip(colours.T.tolist(), occurrences.tolist(), strict=True):
            counts[(colour[0], colour[1], colour[2])] += count
    facts["colours"] = ", ".join(map(str, (colour for colour, _ in counts.most_common(NAMED)))) + (
        " …" if len(counts) > NAMED else ""
    )
    strange = {colour: count for colour, count in counts.items() if colour not in named.values()}
    if not strange:
        return facts, []
    problem = colour_problem(strange, list(named.values()), sum(counts.values()))
    return facts, [
        f"{len(strange):,} of the {len(counts):,} colours of its masks are not in {CLASSES}. {problem}".rstrip()
    ]


def class_colours(path: Path) -> Mapping[str, Color]:
    """Class → colour of a classes.json: a list `classes` of `title` (or `name`) and `color`, as #RRGGBB. Errors: InputError."""
    content = read_json(path)
    entries = content.get("classes") if isinstance(content, dict) else content
    named: dict[str, Color] = {}
    for entry in entries if isinstance(entries, list) else ():
        colour = str(entry.get("color")) if isinstance(entry, dict) else ""
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
            raise InputError(
                f"{path} has a class without a colour as #RRGGBB: {entry}. Correct it, or leave the file out."
            )
        red, green, blue = bytes.fromhex(colour[1:])
        named[str(entry.get("title") or entry.get("name"))] = red, green, blue
    if not named:
        raise InputError(f"{path} holds no list of classes with their colours. Correct it, or leave the file out.")
    return named
