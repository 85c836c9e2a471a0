"""The tiles of a dataset in a folder, also where it is the folder of one split, and the folder that is likely meant.

Takes a card and a folder; returns files by tile and layer, or a path for a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from deepnets4eo.cards.dataset_card import DatasetCard
from deepnets4eo.cards.dataset_reader import Tiles, find_tiles

FIRST_FOLDER = re.compile(r"\{\w+\}/")  # a layout whose first folder has any name, such as {split}/images/…
MOST_FOLDERS = 100  # that are searched below a folder without tiles
LEVELS_UP = 2


def tiles_of_folder(card: DatasetCard, folder: Path) -> Tiles:
    """Returns the tiles of a dataset's folder, or of the folder of one of its splits, such as xbd/train; {} for none."""
    return find_tiles(card, folder) or find_split_tiles(card, folder)


def find_split_tiles(card: DatasetCard, folder: Path) -> Tiles:
    """Returns the tiles of a folder that is the first folder of the card's layout; ids start with its name.

    Returns an empty mapping where the layout starts with no placeholder, or nothing in the folder fits it.
    """
    folder = folder.resolve() if folder.name in ("", "..") else folder
    layout = {
        layer: patterns
        for layer, every in card.layout.items()
        if (patterns := tuple(pattern for pattern in every if FIRST_FOLDER.match(pattern)))
    }
    if not layout:
        return {}
    return _inside(folder, find_tiles(card.model_copy(update={"layout": layout}), folder.parent))


def nearby_folder(card: DatasetCard, folder: Path) -> Path | None:
    """Returns the folder above or below one without tiles that holds the dataset; None where there is none."""
    full = folder.resolve()
    for parent in list(full.parents)[:LEVELS_UP]:
        if _inside(full, find_tiles(card, parent)):
            return parent
    return next((inner for inner in _folders(folder) if find_tiles(card, inner)), None)


def _inside(folder: Path, tiles: Tiles) -> Tiles:
    """The tiles with a file in the folder, and only these files."""
    inside = {
        tile: {layer: path for layer, path in sources.items() if folder in path.parents}
        for tile, sources in tiles.items()
    }
    return {tile: sources for tile, sources in inside.items() if sources}


def _folders(folder: Path) -> Iterator[Path]:
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:  # no folder, or one that may not be listed
        return
    yield from inner[:MOST_FOLDERS]
