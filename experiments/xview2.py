"""The official xView2 score of damage rasters.

Takes label rasters 0 (background) to 4 (destroyed), as arrays or as the challenge's folders of PNGs; refuses files
that are missing, of another size or with other values. Pixels are counted over all images together. The scorer's first
two days (until 24 October 2019) left a class out of the counts of images whose target does not show it; that rule was
withdrawn, and scores higher: figures of those days cannot be compared."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.damage import GRADES
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.outputs import count_of

log = logging.getLogger(__name__)

DAMAGE_CLASSES = tuple(grade.replace("-", "_") for grade in GRADES)  # labels 1 to 4
SIZE_PX = 1024
EPSILON = 1e-6  # the rules add it to each class's F1 inside the harmonic mean

_NAME = re.compile(r"^(?P<split>[^_]+)_(?P<task>localization|damage)_(?P<id>.+)_(?P<role>prediction|target)\.png$")


@dataclass
class Counts:
    """True positives, false positives and false negatives, in pixels."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def add(self, target: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> None:
        """Count one more image."""
        self.tp += int((target & prediction).sum())
        self.fp += int((~target & prediction).sum())
        self.fn += int((target & ~prediction).sum())

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 without a true positive."""
        if self.tp == 0:
            return 0.0
        precision, recall = self.tp / (self.tp + self.fp), self.tp / (self.tp + self.fn)
        return 2 * precision * recall / (precision + recall)


@dataclass
class XView2Score:
    """The score of a set of images, counted image by image and over all of them together.

    >>> score = XView2Score()
    >>> target = np.array([[1, 1, 4, 0]], np.uint8)
    >>> score.update(target, target, target, target)
    >>> score.localization.f1
    1.0
    """

    localization: Counts = field(default_factory=Counts)
    damage: tuple[Counts, ...] = field(default_factory=lambda: tuple(Counts() for _ in DAMAGE_CLASSES))
    images: int = 0

    def update(
        self,
        localization_target: NDArray[np.uint8],
        damage_target: NDArray[np.uint8],
        localization_prediction: NDArray[np.uint8],
        damage_prediction: NDArray[np.uint8],
    ) -> None:
        """Count one image; four (H, W) uint8 label rasters 0–4 of one shape. Damage counts only where the target has a
        building, and only where a building was localised. Each class counts in each image: its false positives also
        where this image's target does not show it."""
        self.images += 1
        localized = localization_prediction > 0
        self.localization.add(localization_target > 0, localized)
        building = damage_target > 0
        target, prediction = damage_target[building], (damage_prediction * localized)[building]
        for label, counts in enumerate(self.damage, start=1):
            counts.add(target == label, prediction == label)

    @property
    def damage_f1(self) -> float:
        """Harmonic mean over the four classes; nearly 0 when one class scores 0, by the rules."""
        return len(self.damage) / sum(1 / (counts.f1 + EPSILON) for counts in self.damage)

    @property
    def score(self) -> float:
        """0.3 × localisation F1 + 0.7 × damage F1."""
        return 0.3 * self.localization.f1 + 0.7 * self.damage_f1

    @property
    def absent(self) -> list[str]:
        """Classes that no target showed; each of them alone brings the damage F1 to nearly 0."""
        return [name for name, c in zip(DAMAGE_CLASSES, self.damage, strict=True) if c.tp + c.fn == 0]

    def headline(self) -> str:
        """The score and the number of images in one line."""
        return f"xView2 score {self.score:.4f} of {count_of(self.images, 'image')}"

    def to_dict(self) -> dict[str, float]:
        """The official tool's keys and values."""
        by_class = {f"damage_f1_{name}": c.f1 for name, c in zip(DAMAGE_CLASSES, self.damage, strict=True)}
        return {
            "score": self.score,
            "damage_f1": self.damage_f1,
            "localization_f1": self.localization.f1,
            **by_class,
        }


def score_folders(prediction_dir: str | Path, target_dir: str | Path) -> XView2Score:
    """Score a folder of predictions against a folder of targets, named as the challenge names them. Files:
    `{test|hold}_{localization|damage}_{id}_{prediction|target}.png`, 1024 × 1024, one band, values 0 to 4. Memory: four
    images. Errors: InputError for missing files, sizes and bands; LabelError for values."""
    targets, predictions = _find(target_dir, "target"), _find(prediction_dir, "prediction")
    images = sorted({(split, identifier) for split, _, identifier in targets})
    wanted = [(split, task, identifier) for split, identifier in images for task in ("localization", "damage")]
    _require(wanted, targets, target_dir, "target")
    _require(wanted, predictions, prediction_dir, "prediction")
    surplus = set(predictions) - set(wanted)
    if surplus:
        log.warning("%d predictions in %s have no target and are not scored", len(surplus), prediction_dir)
    score = XView2Score()
    for split, identifier in images:
        localization, damage = (split, "localization", identifier), (split, "damage", identifier)
        files = targets[localization], targets[damage], predictions[localization], predictions[damage]
        score.update(*map(read_labels, files))
    return score


def read_labels(path: Path) -> NDArray[np.uint8]:
    """One label raster as (1024, 1024) uint8, 0 to 4."""
    from deepnets4eo.rasters import Layer

    data, _ = Layer.open(path).read()
    if data.shape != (1, SIZE_PX, SIZE_PX):
        bands, height, width = data.shape
        raise InputError(
            f"{path} is {width}×{height} px with {bands} band(s), expected {SIZE_PX}×{SIZE_PX} px with one, as the benchmark's "
            "own tiles. Give the benchmark's targets, and predictions of that size."
        )
    values = np.unique(data)
    strange = [value for value in values.tolist() if value not in range(len(DAMAGE_CLASSES) + 1)]
    if strange:
        raise LabelError(f"{path} is {data.dtype} with values {strange}, expected uint8 with 0 to 4. Remap the labels.")
    if data.dtype != np.uint8:
        raise LabelError(
            f"{path} is {data.dtype}, expected uint8; its values are right. Write it with 8 bit: "
            "gdal_translate -ot Byte -of PNG IN OUT."
        )
    return data[0]


def _find(folder: str | Path, role: str) -> dict[tuple[str, str, str], Path]:
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Give the folder of the {role} PNGs.")
    paths = {}
    for path in folder.iterdir():
        match = _NAME.match(path.name)
        if match and match["role"] == role:
            paths[match["split"], match["task"], match["id"]] = path
    if not paths:
        raise InputError(
            f"{folder} has no {role} files. They are named like test_localization_00000_{role}.png and "
            f"test_damage_00000_{role}.png."
        )
    return paths


def _require(
    wanted: list[tuple[str, str, str]], paths: dict[tuple[str, str, str], Path], folder: str | Path, role: str
) -> None:
    missing = [f"{split}_{task}_{identifier}_{role}.png" for split, task, identifier in wanted]
    missing = [name for name, key in zip(missing, wanted, strict=True) if key not in paths]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise InputError(
            f"{folder} lacks {', '.join(missing[:3])}{more}; every target image needs its localization and damage "
            f"{role}. Write the missing files (all zeros where nothing was found)."
        )
