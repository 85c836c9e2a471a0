"""Tiles of two folders paired by their names.

Takes a folder of predictions and one of references; returns pairs of files.
Refuses references without a prediction, or with several of equal fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from deepnets4eo.errors import InputError

ENDINGS = {".tif", ".tiff", ".png", ".jpg", ".jpeg", ".vrt"}


def pair_tiles(predictions: str | Path, references: str | Path) -> list[tuple[Path, Path]]:
    """Returns (prediction, reference) of two folders by name: `area5.tif` fits `area5_noBoundary.tif` and the reverse.

    Raises InputError for a reference without a prediction, or with several.
    """
    stems = {path: _words(path) for path in _rasters(Path(predictions))}
    pairs = []
    for reference in _rasters(Path(references)):
        words = _words(reference)
        lengths = {path: _common_words(words, other) for path, other in stems.items()}
        best = [path for path, length in lengths.items() if length and length == max(lengths.values())]
        if len(best) != 1:
            names = ", ".join(path.name for path in best) or "none"
            raise InputError(
                f"{reference.name} needs one prediction in {predictions}, found {names}. "
                "Give both the same name, or the longer one the shorter one's name as its beginning."
            )
        pairs.append((best[0], reference))
    if not pairs:
        raise InputError(f"{references} holds no rasters (tif, png, jpg, vrt). Name the folder of the reference tiles.")
    return pairs


def _rasters(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder, but the other one is. Give two rasters or two folders of tiles.")
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in ENDINGS)


def _words(path: Path) -> list[str]:
    return re.split(r"[_\-. ]+", path.stem.lower())


def _common_words(words: list[str], other: list[str]) -> int:
    """Returns how many words two names share where one begins with the other, else 0."""
    length = min(len(words), len(other))
    return length if words[:length] == other[:length] else 0
