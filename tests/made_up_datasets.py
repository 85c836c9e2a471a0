"""Tiny made-up folders with the layout of a dataset card, for tests of readers and checks."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from geotiff import write_geotiff

from deepnets4eo.cards import DatasetCard, Legend

SIDE = 64
COLORED = {"isprs_vaihingen", "isprs_potsdam", "dfc2015"}  # their labels are colours, the others' are values


def make_dataset(root: Path, name: str, tiles: Iterable[str], layers: Sequence[str] | None = None) -> DatasetCard:
    """Write the tiles of some layers (all by default) of a dataset as its card's first pattern names them."""
    card = DatasetCard.load(name)
    legend = Legend.load(card.legend)
    for number, tile in enumerate(tiles):
        for layer in layers or card.layout:
            path = root / tile_path(card, layer, tile)
            write(path, pixels(layer, number, legend, colored=name in COLORED), east=number if "{" in
                  card.layout[layer][0] else 0)  # fmt: skip
    return card


def tile_path(card: DatasetCard, layer: str, tile: str, fill: Mapping[str, str] | None = None) -> str:
    """The first pattern of a layer for one tile; Potsdam's heights are named with two digits."""
    pattern = card.layout[layer][0]
    names = list(dict.fromkeys(part.split("}")[0] for part in pattern.split("{")[1:]))
    values = tile.split("/") if len(names) > 1 else [tile]
    if card.name == "isprs_potsdam" and layer in ("dsm", "ndsm"):
        values = ["_".join(f"{int(word):02d}" for word in tile.split("_"))]
    for placeholder, value in zip(names, values, strict=False):
        pattern = pattern.replace(f"{{{placeholder}}}", value)
    return pattern


def class_places(seed: int, num_classes: int) -> np.ndarray:
    """(64, 64) uint8 squares of 8 px, all classes in them."""
    cells = (SIDE // 8) ** 2
    order = np.random.default_rng(seed).permutation(np.arange(cells) % num_classes)
    return np.kron(order.reshape(SIDE // 8, -1), np.ones((8, 8), int)).astype(np.uint8)


def pixels(layer: str, seed: int, legend: Legend, *, colored: bool) -> np.ndarray:
    """(C, 64, 64): labels of all classes, heights in float32, else an image that shows the classes."""
    classes = class_places(seed, legend.num_classes)
    if layer.startswith("labels"):
        labels = np.array(legend.values, np.uint8)[classes]
        if layer == "labels_eroded":
            labels[:, ::8] = labels[:, 7::8] = 255
        return legend.decode(labels) if colored else np.where(labels == 255, 0, labels)[None].astype(np.uint8)
    if layer in ("dsm", "ndsm", "dtm", "agl"):
        heights = 3.0 * classes[None]
        return heights.astype(np.uint8 if layer == "ndsm" else np.float32)
    noise = np.random.default_rng(seed).integers(0, 20, (3, SIDE, SIDE))
    image = (legend.colors[classes].transpose(2, 0, 1) // 2 + 40 + noise).astype(np.uint8)
    return image[:1] if layer == "intensity" else image[[0, 1, 2, 0]] if layer == "image_rgbir" else image


def write(path: Path, array: np.ndarray, *, east: int = 0) -> None:
    """Save an array (C, H, W); a GeoTIFF lies `east` tiles to the east, other formats have no georeference."""
    driver = {".png": "PNG", ".jpg": "JPEG"}.get(path.suffix)
    if driver:
        write_geotiff(path, array, crs=None, driver=driver)
    else:
        write_geotiff(path, array, crs="EPSG:32632", origin=(5e5 + east * SIDE * 0.5, 5.4e6), gsd=0.5, alpha="NO")
