"""The tiles of a dataset on disk, by its card's layout: which there are, which a part of a split has, where they lie.

Takes a card, the folder that holds the dataset, and what of it is wanted; returns files by tile and layer.
Refuses tiles that lack a layer, saying which tile, which layer, and which paths were looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from deepnets4eo.cards.dataset_card import DatasetCard
from deepnets4eo.errors import InputError

USUAL_LAYERS = ("image", "dsm", "labels")
SHOWN = 8  # names in a message

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
    """Tile id → layer → file, of one part of a split or, without `part`, of all that lies there.

    card : a card, its name, or a YAML file. split : the card's first by default. layers : each tile must have them
    all; by default those of image, dsm and labels that the card knows and that any tile has. layout : other patterns
    than the card's (see `DatasetCard.with_layout`).
    Errors: InputError naming the tiles without a file and where it was looked for; or a part, split or layer that
    the card does not have.

    """
    card = (card if isinstance(card, DatasetCard) else DatasetCard.load(card)).with_layout(layout or {})
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root} is not a folder. Give the one that holds {card.name}: {card.access}")
    found = find_tiles(card, root)
    wanted = part_tiles(card, found, split, part) if part else found
    needed = _layers(card, wanted, layers)
    _refuse_missing(card, root, wanted, needed)
    return {tile: {layer: sources[layer] for layer in needed} for tile, sources in wanted.items()}


def find_tiles(card: DatasetCard, root: Path) -> Tiles:
    """All tiles that any layer has a file of: id → layer → file, sorted; files that serve all tiles lie in each."""
    tiles: Tiles = {}
    shown: dict[str, str] = {}  # the id without leading zeros → as it was first met
    shared: dict[str, Path] = {}
    for layer, patterns in card.layout.items():
        for pattern in patterns:
            if "{" not in pattern:
                if (root / pattern).exists():
                    shared.setdefault(layer, root / pattern)
                continue
            for tile, path in _matches(root, pattern).items():
                tiles.setdefault(shown.setdefault(strip_leading_zeros(tile), tile), {}).setdefault(layer, path)
    if not tiles and shared and not any("{" in pattern for patterns in card.layout.values() for pattern in patterns):
        return {card.name: shared}
    return {tile: {**shared, **tiles[tile]} for tile in sorted(tiles, key=_natural)}


def part_tiles(card: DatasetCard, found: Tiles, split: str | None, part: str) -> Tiles:
    """The tiles of one part, also those listed by the card that have no file at all (they map to nothing).

    Errors: InputError for a split or part that the card does not have, and for a part given by folder that is empty.
    """
    name, parts = card.split(split)
    if part not in parts:
        raise InputError(f'The split {name} of {card.name} has no part "{part}", only {", ".join(parts)}.')
    by_folded = {strip_leading_zeros(tile): tile for tile in found}
    tiles: Tiles = {}
    for entry in parts[part]:
        inside = [tile for tile in found if fnmatchcase(tile, entry) or tile.startswith(f"{entry}/")]
        if inside:
            tiles |= {tile: found[tile] for tile in inside}
        elif strip_leading_zeros(entry) in by_folded:
            tiles[entry] = found[by_folded[strip_leading_zeros(entry)]]
        elif _listed_by_id(card, entry):
            tiles[entry] = {}
    return tiles


def strip_leading_zeros(tile: str) -> str:
    """A tile's id without the leading zeros of its numbers.

    >>> strip_leading_zeros("02_10") == strip_leading_zeros("2_10")
    True
    """
    return re.sub(r"(?<!\d)0+(?=\d)", "", tile)


def expected_paths(card: DatasetCard, layer: str, tile: str) -> str:
    """Where a tile's layer should lie, for messages."""
    patterns = card.layout.get(layer, ())
    return " or ".join(_filled(pattern, tile) for pattern in patterns) or f"nowhere: {card.name} has no layer {layer}"


def refuse_other_bands(card: DatasetCard, layer: str, path: str | Path, count: int) -> None:
    """InputError where a file does not have as many bands as the card says its layer has.

    Labels that were made values from colours have an order of classes that nobody can tell; an infrared band that a
    file calls alpha is taken as a mask.
    """
    expected = card.bands.get(layer)
    if not expected or count == len(expected):
        return
    remedy = "Give its pattern (data.layers), and its bands are its own."
    if layer.startswith("labels"):
        remedy = (
            "Which classes its values mean cannot be told: name the legend it is stored in, such as isprs-mmseg "
            "(data.labels_legend, --reference-legend)."
        )
    elif count == len(expected) - 1:
        remedy = (
            f"If it has {len(expected)}, the last is marked alpha: gdal_edit.py -colorinterp_{len(expected)} undefined."
        )
    raise InputError(
        f"{path} has {count} bands, the {layer} of {card.name} {len(expected)} ({', '.join(expected)}). {remedy}"
    )


def _layers(card: DatasetCard, tiles: Tiles, layers: Sequence[str] | None) -> list[str]:
    if layers is None:
        present = {layer for sources in tiles.values() for layer in sources}
        # image and labels are what all of it is about; heights are not everywhere
        return [layer for layer in USUAL_LAYERS if layer in card.layout and (layer in present or layer != "dsm")]
    unknown = [layer for layer in layers if layer not in card.layout]
    if unknown:
        raise InputError(
            f"{card.name} has the layers {', '.join(card.layout) or 'none'}, not {', '.join(unknown)}. "
            "Choose among them, or give its pattern."
        )
    return list(layers)


def _refuse_missing(card: DatasetCard, root: Path, tiles: Tiles, layers: Iterable[str]) -> None:
    if not tiles:
        patterns = ", ".join(pattern for patterns in card.layout.values() for pattern in patterns)
        raise InputError(f"{root} holds nothing of {card.name}; looked for {patterns}. {_remedy(card)}")
    for layer in layers:
        missing = [tile for tile, sources in tiles.items() if layer not in sources]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(tiles)} tiles of {card.name} have no {layer}: {abbreviate(missing)}. "
                f"Looked for {root / expected_paths(card, layer, missing[0])}. {_remedy(card)}"
            )


def abbreviate(names: Sequence[str], most: int = SHOWN) -> str:
    """Some of the names, and that there are more."""
    return ", ".join(names[:most]) + (f" … ({len(names)} in all)" if len(names) > most else "")


def _remedy(card: DatasetCard) -> str:
    return (
        "Check the folder and what was unpacked into it (deepnets4eo check --dataset "
        f"{card.name}), or give your own pattern, for example image=images/{{id}}.tif."
    )


def _listed_by_id(card: DatasetCard, entry: str) -> bool:
    """Whether an entry of a split can name one tile: as many folders as the placeholders of a pattern, no wildcard."""
    depths = {
        len(dict.fromkeys(re.findall(r"\{(\w+)\}", pattern)))
        for patterns in card.layout.values()
        for pattern in patterns
    }
    return not re.search(r"[*?]", entry) and entry.count("/") + 1 in depths


def _matches(root: Path, pattern: str) -> dict[str, Path]:
    """Tile id → file, for the files that a pattern with placeholders matches."""
    parts = re.split(r"\{(\w+)\}", pattern)
    seen: list[str] = []
    expression = ""
    for place, part in enumerate(parts):
        if place % 2 == 0:
            expression += re.escape(part)
        else:
            expression += f"(?P={part})" if part in seen else f"(?P<{part}>[^/]+?)"
            seen.append(part)
    names = list(dict.fromkeys(seen))
    matches = (
        (re.fullmatch(expression, path.relative_to(root).as_posix()), path)
        for path in sorted(root.glob("*".join(glob_escape(part) for part in parts[::2])))
    )
    return {"/".join(match[name] for name in names): path for match, path in matches if match}


def glob_escape(text: str) -> str:
    """Text that a glob takes as it is."""
    return re.sub(r"([*?[])", r"[\1]", text)


def _filled(pattern: str, tile: str) -> str:
    names = list(dict.fromkeys(re.findall(r"\{(\w+)\}", pattern)))
    values = tile.split("/", len(names) - 1) if names else []
    if len(values) != len(names):
        return pattern
    for name, value in zip(names, values, strict=True):
        pattern = pattern.replace(f"{{{name}}}", value)
    return pattern


def _natural(tile: str) -> list[tuple[int, int, str]]:
    """A key that sorts 2 before 10."""
    words = re.split(r"(\d+)", tile)
    return [(0, int(word), "") if word.isdigit() else (1, 0, word) for word in words if word]
