"""Comparison of a folder, possibly of a single split, with the dataset of a card: missing, unreadable and wrong files."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from deepnets4eo.cards import CardKind, DatasetCard, Legend, Tiles, abbreviate, find_tiles, part_tiles
from deepnets4eo.errors import DeepNets4EOError, GridError, InputError, LabelError
from deepnets4eo.files import read_json
from deepnets4eo.grid import LABELS_READ_PX, Grid, Window, only_one_placed, overlap_share
from deepnets4eo.inspection.files import Inspection
from deepnets4eo.inspection.vectors import describe_vector
from deepnets4eo.rasters import Layer

ENOUGH_LAYERS = 2  # that must match before a folder is recognised as a dataset
RASTERS = {".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".pix"}
ENDS = {".png": b"IEND\xaeB`\x82", ".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9"}  # GDAL fills a missing end with zeros
TAIL_BYTES = 1024  # some writers leave bytes after the end
STREAMED = {".tif", ".tiff", ".pix"}  # formats whose parts can be read without the rest
LABELLED = ("labels", "labels_eroded", "targets")  # layers whose values are those of the card's legend
SAMPLE_PX = 512  # side of the windows that are read of a file without --thorough
MIN_OVERLAP = 0.9  # share of a tile's first layer that its other georeferenced layers must cover

FIRST_FOLDER = re.compile(r"\{\w+\}/")  # a layout whose first folder has any name, such as {split}/images/…
MAX_FOLDERS = 100  # that are searched below a folder without tiles
LEVELS_UP = 2


def recognise(root: Path) -> DatasetCard | None:
    """Return the card whose layout fits the folder best; None if no card fits."""
    cards = [DatasetCard.load(name) for name in CardKind.DATASET.names]
    for find in (find_tiles, find_split_tiles):  # the latter: a folder of one split
        fits = [len({layer for sources in find(card, root).values() for layer in sources}) for card in cards]
        best = max(range(len(cards)), key=fits.__getitem__, default=None)
        if best is not None and fits[best] >= ENOUGH_LAYERS:
            return cards[best]
    return None


def inspect_dataset(
    path: str,
    card: DatasetCard,
    *,
    split: str | None = None,
    thorough: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Inspection:
    """Describe the folder of a dataset, or of a split, by a card; parts of `split` must be complete; `thorough`: read all pixels."""
    result = Inspection(path, f"dataset {card.name}")
    result.facts |= {"title": card.title, "licence": card.licence, "legend": card.legend}
    tiles = find_tiles(card, Path(path)) or find_split_tiles(card, Path(path))
    needed = _needed_layers(card, tiles)
    for layer, patterns in card.layout.items():
        count = sum(layer in sources for sources in tiles.values())
        result.facts[layer] = f"{count} of {len(tiles)} tiles ({' or '.join(patterns)})" if count else "none"
    if not tiles:
        nearby = nearby_folder(card, Path(path))
        remedy = f"Check the folder. {card.access}".rstrip() if nearby is None else f"Did you mean the folder {nearby}?"
        example = next((pattern for patterns in card.layout.values() for pattern in patterns), "no layout")
        result.problems.append(f"no file lies where the card expects it, e.g. {example}. {remedy}")
        return result
    _inspect_splits(result, card, tiles, needed, split)
    _inspect_files(result, card, tiles, thorough=thorough, progress=progress or (lambda share: None))
    _compare_checksums(result, card, Path(path))
    if not result.problems:
        result.facts["fine"] = "all that was checked; " + ("every pixel was read" if thorough else "files by samples")
    return result


def _needed_layers(card: DatasetCard, tiles: Tiles) -> list[str]:
    """Return the layers that each tile must have: image, labels and all others of any tile, but no variants."""
    present = {layer for sources in tiles.values() for layer in sources}
    variants = {layer for layers in card.variants.values() for layer in layers}
    return [
        layer for layer in card.layout if layer in ("image", "labels") or (layer in present and layer not in variants)
    ]


def _inspect_splits(
    result: Inspection, card: DatasetCard, tiles: Tiles, needed: Sequence[str], split: str | None
) -> None:
    """Add what the parts lack: as problems for the chosen split, as facts for the others."""
    if not card.splits:
        result.problems += [f"{line}." for line in _missing_files(card, tiles, needed)]
        return
    chosen, _ = card.split(split)
    used: set[str] = set()
    for name, parts in card.splits.items():
        for part in parts:
            listed = part_tiles(card, tiles, name, part)
            used |= set(listed) if name == chosen else set()
            missing = _missing_files(card, listed, needed)
            where = f"split {name}, {part}"
            if not missing:
                result.facts[where] = f"all {len(listed)} tiles have {', '.join(needed)}" if listed else "nothing here"
            elif name == chosen:
                result.facts[where] = "incomplete, see below"
                result.problems += [f"{where}: {line}." for line in missing]
            else:
                result.facts[where] = f"incomplete: {'; '.join(missing)}"
    others = [tile for tile in tiles if tile not in used]
    if others:
        result.facts[f"not in split {chosen}"] = abbreviate(others)


def _missing_files(card: DatasetCard, tiles: Tiles, needed: Sequence[str]) -> list[str]:
    """Return what tiles lack: all files, then layers, but not layers whose names have other fields, as {site} versus {scene}."""
    named_by = {
        layer: {names[-1] for pattern in patterns if (names := re.findall(r"\{(\w+)\}", pattern))}
        for layer, patterns in card.layout.items()
    }
    absent = [tile for tile, sources in tiles.items() if not any(layer in sources for layer in needed)]
    lines = [f"{len(absent)} of {len(tiles)} tiles are not here: {abbreviate(absent)}"] if absent else []
    for layer in needed:
        of_kind = [
            tile for tile, sources in tiles.items()
            if tile not in absent and (not named_by[layer] or any(named_by[other] & named_by[layer] for other in sources))
        ]  # fmt: skip
        missing = [tile for tile in of_kind if layer not in tiles[tile]]
        if missing:
            lines.append(f"{len(missing)} of {len(of_kind)} tiles have no {layer}: {abbreviate(missing)}")
    return lines


def _inspect_files(
    result: Inspection, card: DatasetCard, tiles: Tiles, *, thorough: bool, progress: Callable[[float], None]
) -> None:
    """Add unreadable files, labels outside the legend, and layers of one tile that do not fit each other."""
    legend = Legend.load(card.legend)
    grids: dict[Path, Grid | None] = {}
    broken, wrong = [], []
    for number, sources in enumerate(tiles.values()):
        progress(number / len(tiles))
        for layer, path in sources.items():
            if path in grids:
                continue
            grids[path] = None
            try:
                grids[path], strange = _read(path, layer, card, legend, thorough=thorough)
                wrong += [f"{path}: {text}" for text in strange]
            except DeepNets4EOError as error:
                broken.append(f"{path} ({error})")
    result.facts["files"] = f"{len(grids)} checked, {len(broken)} broken"
    if broken:
        result.problems.append(f"{len(broken)} files cannot be read: {abbreviate(broken, 3)}. Download them again.")
    result.problems += wrong[:20] + ([f"{len(wrong) - 20} more files of that kind."] if len(wrong) > 20 else [])
    uses = Counter(path for sources in tiles.values() for path in sources.values())
    for tile, sources in tiles.items():
        tile_grids = {layer: grid for layer, path in sources.items() if uses[path] == 1 and (grid := grids[path])}
        result.problems += [f"tile {tile}: {text}" for text in _misfits(tile_grids)]


def _read(
    path: Path, layer: str, card: DatasetCard, legend: Legend, *, thorough: bool
) -> tuple[Grid | None, list[str]]:
    """Read samples of one file; return a raster's grid, and what is wrong with it."""
    if path.suffix.lower() == ".json":
        read_json(path)
    if path.suffix.lower() == ".gpkg":
        wrong: list[str] = []
        describe_vector({}, wrong, str(path))
        return None, wrong
    if path.suffix.lower() not in RASTERS:
        return None, []
    raster = Layer.open(path).in_declared_colours()
    if (end := ENDS.get(path.suffix.lower())) is not None:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            if end not in file.read():
                raise InputError(f"{path} is cut off: it ends before its image does.")
    strange = []
    try:
        card.check_bands(layer, path.name, raster.count)
    except InputError as error:
        strange.append(str(error))
    if not strange and layer in LABELLED and raster.count not in (1, 3):
        strange.append(f"{raster.count} bands, expected label values in one or colours in three.")
    for window in _windows(raster, path, thorough=thorough):
        data, valid = raster.read(window)
        if layer in LABELLED and not strange:
            strange += _strange_labels(data, valid, legend)
    return raster.grid, strange


def _windows(raster: Layer, path: Path, *, thorough: bool) -> Iterator[Window]:
    """All blocks; or the first, middle and last window, where an incomplete file shows it."""
    height, width = raster.shape
    if path.suffix.lower() not in STREAMED:
        yield Window(0, 0, height, width)
    elif thorough:
        yield from raster.blocks(LABELS_READ_PX)
    else:
        rows, cols = min(SAMPLE_PX, height), min(SAMPLE_PX, width)
        for share in (0.0, 0.5, 1.0):
            yield Window(int(share * (height - rows)), int(share * (width - cols)), rows, cols)


def _strange_labels(data: np.ndarray, valid: np.ndarray, legend: Legend) -> list[str]:
    try:
        if len(data) == 1:
            legend.check(data[0][valid])
        elif data.dtype == np.uint8:
            legend.encode(np.where(valid, data, np.array(legend.void_color, np.uint8)[:, None, None]))
        else:
            return [f"colours of type {data.dtype}, expected uint8."]
    except LabelError as error:
        return [str(error).split(". ")[0] + "."]
    return []


def _misfits(grids: Mapping[str, Grid]) -> list[str]:
    """Layers that do not fit the first one: other sizes without place, little overlap."""
    lines = []
    names = list(grids)
    for name in names[1:]:
        base, other = grids[names[0]], grids[name]
        by_pixels = only_one_placed(base, other)
        if tuple(base.shape) == tuple(other.shape) and by_pixels:
            continue
        sizes = f"{name} is {other.shape[0]} × {other.shape[1]} px, {names[0]} {base.shape[0]} × {base.shape[1]}"
        if by_pixels or (base.crs is None and tuple(base.shape) != tuple(other.shape) and base.affine == other.affine):
            what = "CRS" if base.crs != other.crs or base.affine == other.affine else "world file"
            lines.append(f"{sizes}, and not both have a {what}.")
            continue
        try:
            share = overlap_share(base, other)
        except GridError as error:
            lines.append(f"{sizes}: {error}")
            continue
        if share < MIN_OVERLAP:
            lines.append(f"{sizes}, and covers {share:.0%} of it.")
    return lines


def _compare_checksums(result: Inspection, card: DatasetCard, root: Path) -> None:
    for pattern, expected in card.checksums.items():
        kind, _, checksum = expected.partition(":")
        for path in sorted(path for path in root.glob(pattern) if path.is_file()):
            digest = hashlib.new(kind, usedforsecurity=False)
            with open(path, "rb") as file:
                while data := file.read(1 << 20):
                    digest.update(data)
            if digest.hexdigest() == checksum:
                result.facts[path.name] = f"{kind} as the card says"
            else:
                result.problems.append(
                    f"{path}: {kind} is {digest.hexdigest()}, the card says {checksum}. Download it again."
                )


def find_split_tiles(card: DatasetCard, folder: Path) -> Tiles:
    """Return the tiles of a folder that is the first folder of the card's layout; empty if it is another folder."""
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
    """Return the folder with the dataset above or below a folder without tiles; None if there is none."""
    full = folder.resolve()
    for parent in list(full.parents)[:LEVELS_UP]:
        if _inside(full, find_tiles(card, parent)):
            return parent
    return next((inner for inner in _folders(folder) if find_tiles(card, inner)), None)


def _inside(folder: Path, tiles: Tiles) -> Tiles:
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
    yield from inner[:MAX_FOLDERS]
