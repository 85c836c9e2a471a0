"""The tiles of a dataset on disk, by the layout of its card: all tiles, the tiles of a part of a split, their files."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from deepnets4eo.cards.dataset_card import DatasetCard
from deepnets4eo.errors import InputError

USUAL_LAYERS = ("image", "dsm", "labels")
MAX_NAMES = 8  # names in a message

Tiles = dict[str, dict[str, Path]]


def open_dataset(
    card: DatasetCard | str | Path,
    root: str | Path,
    *,
    split: str | None = None,
    part: str | None = None,
    layers: Sequence[str] | None = None,
    layout: Mapping[str, str] | None = None,
) -> Tiles:
    """Return tile id → layer → file of a split's part, or all tiles; each has all `layers`; `layout`: other patterns.

    InputError names tiles without a file and the expected paths, and unknown parts, splits and layers.
    """
    card = (card if isinstance(card, DatasetCard) else DatasetCard.load(card)).with_layout(layout or {})
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root} is not a folder. Give the one that holds {card.name}: {card.access}")
    tiles = find_tiles(card, root)
    if part:
        tiles = part_tiles(card, tiles, split, part)
    needed = _needed_layers(card, tiles, layers)
    _check_none_missing(card, root, tiles, needed)
    return {tile: {layer: sources[layer] for layer in needed} for tile, sources in tiles.items()}


def find_tiles(card: DatasetCard, root: Path) -> Tiles:
    """All tiles that have a file of any layer: id → layer → file, sorted; each has the files for all tiles."""
    tiles: Tiles = {}
    first_ids: dict[str, str] = {}  # the id without leading zeros → the id of the first file
    shared: dict[str, Path] = {}
    for layer, patterns in card.layout.items():
        for pattern in patterns:
            file, mark, array = pattern.partition("#")  # FILE#ARRAY: one array of a file
            if "{" not in pattern:
                if (root / file).exists():
                    shared.setdefault(layer, root / pattern)
                continue
            for tile, matched in _matches(root, file).items():
                path = matched.with_name(f"{matched.name}{mark}{array}")
                tiles.setdefault(first_ids.setdefault(strip_leading_zeros(tile), tile), {}).setdefault(layer, path)
    if not tiles and shared and not any("{" in pattern for patterns in card.layout.values() for pattern in patterns):
        return {card.name: shared}
    return {tile: {**shared, **tiles[tile]} for tile in sorted(tiles, key=_natural)}


def part_tiles(card: DatasetCard, present: Tiles, split: str | None, part: str) -> Tiles:
    """Return the tiles of one part; tiles without any file have an empty mapping."""
    name, parts = card.split(split)
    if part not in parts:
        raise InputError(f'The split {name} of {card.name} has no part "{part}", only {", ".join(parts)}.')
    by_number = {strip_leading_zeros(tile): tile for tile in present}
    tiles: Tiles = {}
    for entry in parts[part]:
        inside = [tile for tile in present if fnmatchcase(tile, entry) or tile.startswith(f"{entry}/")]
        if inside:
            tiles |= {tile: present[tile] for tile in inside}
        elif strip_leading_zeros(entry) in by_number:
            tiles[entry] = present[by_number[strip_leading_zeros(entry)]]
        elif _names_one_tile(card, entry):
            tiles[entry] = {}
    return tiles


def strip_leading_zeros(tile: str) -> str:
    """Return a tile's id without the leading zeros of its numbers."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", tile)


def expected_paths(card: DatasetCard, layer: str, tile: str) -> str:
    """Return the possible paths of a tile's layer, for messages."""
    patterns = card.layout.get(layer, ())
    return (
        " or ".join(_fill_pattern(pattern, tile) for pattern in patterns)
        or f"nowhere: {card.name} has no layer {layer}"
    )


def _needed_layers(card: DatasetCard, tiles: Tiles, layers: Sequence[str] | None) -> list[str]:
    if layers is None:
        present = {layer for sources in tiles.values() for layer in sources}
        # image and labels are always needed; heights only where there are any
        return [layer for layer in USUAL_LAYERS if layer in card.layout and (layer in present or layer != "dsm")]
    unknown = [layer for layer in layers if layer not in card.layout]
    if unknown:
        raise InputError(
            f"{card.name} has the layers {', '.join(card.layout) or 'none'}, not {', '.join(unknown)}. "
            "Choose among them, or give its pattern."
        )
    return list(layers)


def _check_none_missing(card: DatasetCard, root: Path, tiles: Tiles, layers: Iterable[str]) -> None:
    if not tiles:
        patterns = ", ".join(pattern for patterns in card.layout.values() for pattern in patterns)
        raise InputError(f"{root} holds no file of {card.name}; expected {patterns}. {_remedy(card)}")
    for layer in layers:
        missing = [tile for tile, sources in tiles.items() if layer not in sources]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(tiles)} tiles of {card.name} have no {layer}: {abbreviate(missing)}. "
                f"Expected {root / expected_paths(card, layer, missing[0])}. {_remedy(card)}"
            )


def abbreviate(names: Sequence[str], most: int = MAX_NAMES) -> str:
    """Return the first names, and the total number of names."""
    return ", ".join(names[:most]) + (f" … ({len(names)} in all)" if len(names) > most else "")


def _remedy(card: DatasetCard) -> str:
    return (
        "Check the folder and its files (deepnets4eo check --dataset "
        f"{card.name}), or give your own pattern, for example image=images/{{id}}.tif."
    )


def _names_one_tile(card: DatasetCard, entry: str) -> bool:
    """Return whether an entry of a split names one tile: as many folders as placeholders in a pattern, no wildcard."""
    depths = {
        len(dict.fromkeys(re.findall(r"\{(\w+)\}", pattern)))
        for patterns in card.layout.values()
        for pattern in patterns
    }
    return not re.search(r"[*?]", entry) and entry.count("/") + 1 in depths


def _matches(root: Path, pattern: str) -> dict[str, Path]:
    """Return tile id → file for the files that match a pattern with placeholders."""
    parts = re.split(r"\{(\w+)\}", pattern)
    seen: list[str] = []
    expression = ""
    for number, part in enumerate(parts):
        if number % 2 == 0:
            expression += re.escape(part)
        else:
            expression += f"(?P={part})" if part in seen else f"(?P<{part}>[^/]+?)"
            seen.append(part)
    names = list(dict.fromkeys(seen))
    matches = (
        (re.fullmatch(expression, path.relative_to(root).as_posix()), path)
        for path in sorted(root.glob("*".join(glob.escape(part) for part in parts[::2])))
    )
    return {"/".join(match[name] for name in names): path for match, path in matches if match}


def _fill_pattern(pattern: str, tile: str) -> str:
    names = list(dict.fromkeys(re.findall(r"\{(\w+)\}", pattern)))
    values = tile.split("/", len(names) - 1) if names else []
    if len(values) != len(names):
        return pattern
    for name, value in zip(names, values, strict=True):
        pattern = pattern.replace(f"{{{name}}}", value)
    return pattern


def _natural(tile: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts 2 before 10."""
    words = re.split(r"(\d+)", tile)
    return [(0, int(word), "") if word.isdigit() else (1, 0, word) for word in words if word]
