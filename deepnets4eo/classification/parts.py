"""The parts of a training on images: drawn, and with images together that are of one place or alike byte for byte."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards import SplitPart
from deepnets4eo.classification.images import ImageList, ImageSplit, split_images
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid
from deepnets4eo.training import overlapping_pairs

if TYPE_CHECKING:
    from deepnets4eo.classification.recipe import ImageRecipe

log = logging.getLogger(__name__)

LEARNT = {"labelled", "unlabelled"}
COORDINATES = re.compile(r"(?<![\d.])(-?\d{1,3}\.\d+)_(-?\d{1,2}\.\d+)(?![\d.])")


def draw_parts(images: ImageList, recipe: ImageRecipe) -> ImageSplit:
    """Draw training, validation and test images by the rules of a recipe. Raises InputError for names without coordinates."""
    data = recipe.data
    return split_images(
        images, val_share=data.val_share, test_share=data.test_share, labels_per_class=data.labels_per_class, seed=data.split_seed,
        groups=place_blocks(images.names, recipe.split.block_deg) if recipe.split.by == "place" else None,
    )  # fmt: skip


def take_shared_apart(
    split: ImageSplit, images: ImageList, pixels: NDArray[Any], *, by_place: bool
) -> tuple[ImageSplit, list[str]]:
    """Return the split without images that are in two parts, as far as parts were drawn, and sentences about images that still are."""
    digests = digests_of(pixels)
    if not by_place:
        split, moved = keep_together(split, images.parts, digests)
        if moved:
            log.warning("%d images are byte for byte others; each is in the part of the first of them.", moved)
    learnt = np.union1d(split.labelled, split.unlabelled)
    rows = {SplitPart.train: learnt, SplitPart.val: split.val, SplitPart.test: split.test}
    shared = shared_between({name: [(images.names[row], digests[row]) for row in part] for name, part in rows.items()})
    shared += shared_ground({name: [images.names[row] for row in part] for name, part in rows.items()}, images.grids)
    for line in shared:
        log.warning("%s", line)
    return split, shared


def place_of(name: str) -> tuple[float, float] | None:
    """Longitude and latitude (degrees) that a file is named by; None for other names."""
    match = COORDINATES.search(Path(name).stem)
    if match is None:
        return None
    longitude, latitude = map(float, match.groups())
    return (longitude, latitude) if abs(longitude) <= 180 and abs(latitude) <= 90 else None


def place_blocks(names: Sequence[str], block_deg: float) -> list[tuple[int, int]]:
    """Return the square of degrees that contains each image. Raises InputError for a name without coordinates."""
    positions = [place_of(name) for name in names]
    if None in positions:
        raise InputError(
            f"{names[positions.index(None)]} has no coordinates in its name; split.by=place needs longitude_latitude in degrees, such as "
            "-95.636_29.76.jpeg. Rename the images, or set split.by=image."
        )
    return [(int(lon // block_deg), int(lat // block_deg)) for lon, lat in filter(None, positions)]


def digests_of(pixels: NDArray[Any]) -> list[bytes]:
    """Return digests of images (N, C, H, W); images that are identical byte for byte have the same digest."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in pixels]


def keep_together(split: ImageSplit, parts: Sequence[str], digests: Sequence[Hashable]) -> tuple[ImageSplit, int]:
    """Return a split that moves identical images to the part of the first of them, as far as parts were drawn, and how many moved."""
    home = {int(row): name for name in split.describe() for row in getattr(split, name)}
    drawn = {row for row in home if not (parts and parts[row])}
    first, moved = dict[Hashable, str](), 0
    for row in sorted(home, key=lambda row: (row in drawn, row)):
        part = first.setdefault(digests[row], home[row])
        if row in drawn and part != home[row] and not {part, home[row]} <= LEARNT:
            home[row], moved = part, moved + 1
    at: dict[str, Any] = {
        name: np.array(sorted(row for row in home if home[row] == name), np.int64) for name in split.describe()
    }
    return (replace(split, **at) if moved else split), moved


def shared_between(parts: Mapping[str, Sequence[tuple[str, Hashable]]]) -> list[str]:
    """Sentences that name how many images (name, digest) of one part are byte for byte in another one."""
    lines = []
    for (part, first), (other, second) in combinations(parts.items(), 2):
        known = {digest: name for name, digest in first}
        shared = [(name, known[digest]) for name, digest in second if digest in known]
        if shared:
            lines.append(
                f"{len(shared):,} of {len(second):,} images of {other} are byte for byte images of {part}, e.g. {shared[0][0]} is "
                f"{shared[0][1]}: what is learnt from one is tested on the other. Take them out of one of the two."
            )
    return lines


class ImagePlace(NamedTuple):
    """The name and location of an image."""

    name: str
    grid: Grid


def shared_ground(parts: Mapping[str, Sequence[str]], grids: Mapping[str, Grid]) -> list[str]:
    """Return sentences on how many images of one part are on the ground of images of another part; parts : names of images."""
    known = [ImagePlace(name, grids[name]) for names in parts.values() for name in names if name in grids]
    part_of = {name: part for part, names in parts.items() for name in names}
    order = list(parts)
    on: dict[tuple[str, str], dict[str, str]] = {}
    for number, other in overlapping_pairs(known):
        first, second = sorted((known[number].name, known[other].name), key=lambda name: order.index(part_of[name]))
        if part_of[first] != part_of[second]:
            on.setdefault((part_of[first], part_of[second]), {}).setdefault(second, first)
    return [
        f"{len(names):,} of {len(parts[other]):,} images of {other} lie on ground that images of {part} show, e.g. {next(iter(names))} on that of "
        f"{next(iter(names.values()))}: what is learnt from one is tested on the other. Draw parts by place (split.by=place), or name them."
        for (part, other), names in on.items()
    ]
