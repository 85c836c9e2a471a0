"""Real hyperspectral cubes with labels, as scenes for training: those of the folder of samples, and any of a dataset card.

Takes the folder of samples, or a card's name and the folder of its files; arrays that are no scenes yet (labels of another
size, abundances) are written as GeoTIFF once. Absent samples are skipped with a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from real_tiles import pixel_grid

from deepnets4eo.cards import DatasetCard, Legend, LegendClass, PublishedScores, open_dataset
from deepnets4eo.grid import whole
from deepnets4eo.rasters import CogWriter, Layer

log = logging.getLogger(__name__)

FEWEST = 50  # labelled pixels of a class; of smaller classes nothing can be kept apart
SALINAS_WATER = (*range(108, 113), *range(154, 168), 224)
ENMAP_EMPTY = tuple(range(130, 136))
LARGE_PX = 200  # from this side on, patches are as published and blocks by the size of the scene
HOUSTON = ("healthy grass", "stressed grass", "artificial turf", "trees", "building", "road", "sidewalk", "crosswalk",
           "major thoroughfare", "parking", "cars", "stadium seats")  # fmt: skip
JASPER = ("tree", "water", "dirt", "road")
COLOURS = ((60, 180, 75), (0, 110, 190), (150, 100, 60), (230, 25, 75), (190, 60, 60), (128, 128, 128), (245, 130, 48),
           (145, 30, 180), (255, 225, 25), (70, 240, 240), (240, 50, 230), (250, 190, 212))  # fmt: skip

Array = NDArray[Any]
Sources = Mapping[str, str]


@dataclass(frozen=True)
class RealCube:
    """A labelled cube: scene → layer → file, and how it is split.

    bands : those used, 1-based. colour_bands : red, green and blue. block_px : side of the blocks of a disjoint split;
    None: by the scene. notes : what a reader must know. whole_scenes : whether each scene is wholly of one part.
    """

    name: str
    title: str
    legend: Legend
    scenes: Mapping[str, Sources]
    bands: tuple[int, ...]
    colour_bands: tuple[int, int, int]
    block_px: int | None
    notes: str = ""
    whole_scenes: bool = False
    published: Mapping[str, PublishedScores] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the first scene."""
        return Layer.open(next(iter(self.scenes.values()))["labels"]).shape

    @property
    def large(self) -> bool:
        """Whether patches of 25 px and as wide a buffer fit the scene."""
        return min(self.shape) >= LARGE_PX

    def every(self, number: int) -> RealCube:
        """The cube with the first of every so many of its bands."""
        return replace(self, bands=self.bands[::number])


def card_cube(
    name: str, folder: Path, *, left_out: Sequence[int] = (), block_px: int | None = None, notes: str = ""
) -> RealCube:
    """The cube of a dataset card.

    left_out : bands, 1-based, that are not used. block_px : as in `RealCube`.
    """
    card = DatasetCard.load(name)
    tiles = open_dataset(card, folder, layers=["image", "labels"])
    scenes = {
        tile: {layer: str(Path(path).resolve()) for layer, path in files.items()} for tile, files in tiles.items()
    }
    count = Layer.open(next(iter(scenes.values()))["image"]).count
    bands = tuple(band for band in range(1, count + 1) if band not in left_out)
    colour = card.cube.colour_bands if card.cube else (bands[-1], bands[len(bands) // 2], bands[0])
    legend = Legend.load(card.legend)
    return RealCube(name, card.title, legend, scenes, bands, colour, block_px, notes, published=card.published)


def salinas_a(folder: Path, out: Path) -> RealCube:
    """Salinas-A, 83 × 86 pixels, without the bands of water."""
    return card_cube("salinas_a", folder, left_out=SALINAS_WATER, block_px=16)


def enmap(folder: Path, out: Path) -> RealCube:
    """EnMAP over Potsdam: 18 tiles of 32 × 32 pixels, each wholly of one part."""
    notes = "some tiles touch, and patches are mirrored at their edges"
    return replace(card_cube("enmap_potsdam", folder, left_out=ENMAP_EMPTY, notes=notes), whole_scenes=True)


def houston(folder: Path, out: Path) -> RealCube:
    """A crop of Houston 2018, 128 × 128 pixels of 1 m: 48 bands, and colours of 0.25 m averaged to 1 m as layer `rgb`."""
    arrays = _matlab(folder / "houston_dataset.mat")
    labels = most_frequent(arrays["clasLabs"], 4, len(HOUSTON))
    rgb = arrays["rgbImg"].reshape(128, 4, 128, 4, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    layers = {"image": arrays["hyprImg"].transpose(2, 0, 1), "rgb": rgb.transpose(2, 0, 1)}
    notes = (
        "labels of 0.25 m, the most frequent of 16; names of classes are our reading of the picture; classes of fewer than "
        f"{FEWEST} pixels are void"
    )
    return _write("houston_crop", "Houston 2018, a crop", HOUSTON, layers, labels, out, 24, (47, 31, 15), notes)


def jasper(folder: Path, out: Path) -> RealCube:
    """Jasper Ridge, 100 × 100 pixels: the label is the endmember with the largest abundance."""
    arrays = _matlab(folder / "jasperRidge2_R198.mat")
    image = arrays["Y"].reshape(198, 100, 100).transpose(0, 2, 1)
    labels = (1 + arrays["A"].argmax(axis=0)).reshape(100, 100).T.astype(np.uint8)
    notes = (
        "labels are the endmember of the largest abundance, estimated from the same spectra: an easy task for spectra"
    )
    return _write("jasper_ridge", "Jasper Ridge", JASPER, {"image": image}, labels, out, 20, (30, 18, 8), notes)


SAMPLES: dict[str, tuple[str, Callable[[Path, Path], RealCube]]] = {
    "salinas_a": ("salinasA", salinas_a),
    "houston_crop": ("houston2018_crop", houston),
    "jasper_ridge": ("jasper_ridge", jasper),
    "enmap_potsdam": ("enmap_potsdam", enmap),
}  # fmt: skip


def sample_cubes(root: Path, out: Path, names: Sequence[str] | None = None) -> list[RealCube]:
    """The cubes of the folder of samples; names : which, all by default."""
    cubes = []
    for name in names or SAMPLES:
        folder, read = SAMPLES[name]
        if (root / folder).is_dir():
            cubes.append(read(root / folder, out / name))
        else:
            log.warning("%s is skipped: there is no folder %s in %s", name, folder, root)
    return cubes


def most_frequent(labels: Array, factor: int, num_classes: int) -> NDArray[np.uint8]:
    """The most frequent value, 0 to num_classes, of each block of factor × factor pixels. labels : (h, w) → (h, w) / factor."""
    height, width = (side // factor for side in labels.shape)
    blocks = labels.reshape(height, factor, width, factor)
    counts = [(blocks == value).sum(axis=(1, 3)) for value in range(num_classes + 1)]
    return np.argmax(counts, axis=0).astype(np.uint8)


def without_small(labels: Array, fewest: int = FEWEST) -> NDArray[np.uint8]:
    """The labels with 0, void, where their class has fewer pixels."""
    counts = np.bincount(labels.ravel(), minlength=256)
    return np.where(counts[labels] < fewest, 0, labels).astype(np.uint8)


def _write(
    name: str, title: str, classes: Sequence[str], layers: Mapping[str, Array], labels: Array, out: Path,
    block_px: int, colour_bands: tuple[int, int, int], notes: str,
) -> RealCube:  # fmt: skip
    labels = without_small(labels)
    kept = [value for value in range(1, len(classes) + 1) if (labels == value).any()]
    legend = Legend(
        name, tuple(LegendClass(value, classes[value - 1], COLOURS[value - 1]) for value in kept), void_values=(0,)
    )
    grid = pixel_grid(labels)
    sources = {}
    for layer, data in (*layers.items(), ("labels", labels[None])):
        path = out / f"{layer}.tif"
        sources[layer] = str(path.resolve())
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with CogWriter(path, grid, count=len(data), dtype=str(data.dtype)) as cog:
                cog.write(whole(grid), np.ascontiguousarray(data))
    bands = tuple(range(1, len(layers["image"]) + 1))
    return RealCube(name, title, legend, {name: sources}, bands, colour_bands, block_px, notes)


def _matlab(path: Path) -> dict[str, Array]:
    from scipy.io import loadmat

    return {name: np.asarray(array) for name, array in loadmat(path).items() if not name.startswith("_")}
