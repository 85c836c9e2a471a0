"""Pixels that a training withheld, by the maps in `split/` of its run, as masks on the grid of a reference.

Refuses runs without withheld pixels, and references that show none of their scenes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from deepnets4eo.arrays import Mask
from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.display import list_names
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.files import read_json, read_yaml
from deepnets4eo.grid import Window, overlap_share
from deepnets4eo.options import Unknown
from deepnets4eo.rasters import Layer

SPLIT, CARD, RECIPE = "split.geojson", "card.json", "recipe.yaml"  # of a run folder


class PredictedMap:
    """Tags of a predicted map, and the precision that runs are scored in."""

    run_tag: ClassVar[str] = "RUN"  # what made it
    precision_tag: ClassVar[str] = "PRECISION"
    scored_in: ClassVar[str] = "float32"


class SplitMap:
    """Maps of the parts of a training's scenes: their folder in the run, their tag, their values and their legend."""

    folder: ClassVar[str] = "split"
    scene_tag: ClassVar[str] = "SCENE"  # the scene's name
    learnt: ClassVar[int] = 1
    withheld: ClassVar[int] = 2
    legend: ClassVar[Legend] = Legend(  # void where a pixel is in neither part
        name="split",
        title="Parts of a training's scenes",
        source="deepnets4eo",
        void_color=(225, 225, 225),
        classes=(
            LegendClass(value=1, name="learnt", color=(230, 159, 0)),
            LegendClass(value=2, name="withheld", color=(0, 114, 178)),
        ),
    )


@dataclass(frozen=True)
class Withheld:
    """The pixels that a training used neither to fit the network nor to choose an epoch.

    Parameters
    ----------
    run : the run folder
    maps : scene → its map of parts
    sources : scene → layer → the source it was opened from, as listed in the run's card
    split : kind and sizes of the split
    unknown : "error" or "void": how the training treated labels that its legend lacks
    labels_legend : legend that its label files are stored in, if that is another legend; None: its own
    labels_nodata : value that the training read as nodata in the label files; None: the nodata value of the files
    """

    run: Path
    maps: Mapping[str, Layer]
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    unknown: Unknown = "error"
    labels_legend: str | None = None
    labels_nodata: float | None = None

    @classmethod
    def of_run(cls, run: str | Path) -> Withheld:
        """Read what a run withheld. Errors: InputError if the folder is not a run, needs no map, has no map, or was finally trained on all pixels."""
        folder = Path(run)
        if not (folder / SPLIT).is_file():
            raise InputError(
                f"{folder} is no run of a training: it has no {SPLIT}. Name the folder that `train` wrote."
            )
        split = read_json(folder / SPLIT).get("split", {})
        layers = [Layer.open(path) for path in sorted((folder / SplitMap.folder).glob("*.tif"))]
        if not layers:
            raise InputError(f"{folder} has no maps of withheld pixels: {_reason(split)}")
        notes = read_json(folder / CARD)["notes"] if (folder / CARD).is_file() else {}
        if "refit" in notes:
            raise InputError(
                f"{folder} learnt from all its scenes in the end (train.refit); metrics.json has the scores of the training "
                "without the withheld pixels. Score other scenes, or train with train.refit=false."
            )
        data = (read_yaml(folder / RECIPE) or {}).get("data", {}) if (folder / RECIPE).is_file() else {}
        return cls(
            folder, {layer.tags[SplitMap.scene_tag]: layer for layer in layers}, notes.get("scenes", {}), split,
            data.get("unknown_labels", "error"), data.get("labels_legend"), data.get("nodata", {}).get("labels"),
        )  # fmt: skip

    def on(self, reference: Layer) -> Callable[[Window], Mask]:
        """Return a function window → (h, w) bool on the grid of a reference, True for withheld pixels.

        The scene is chosen in this order: the scene whose labels are the reference, the only scene, all scenes at its place.
        Errors: InputError or GridError if the reference shows no scene."""
        layer = self._map_of(reference).on(reference.grid, "nearest")

        def mask(window: Window) -> Mask:
            parts, valid = layer.read(window)
            return valid & (parts[0] == SplitMap.withheld)

        return mask

    def to_dict(self) -> dict[str, Any]:
        """Return kind and sizes of the split, without names, so that runs of one split have equal protocols."""
        return {key: value for key, value in self.split.items() if key != "scenes"}

    def _map_of(self, reference: Layer) -> Layer:
        names = {_absolute(name) for name in (reference.source, *reference.paths)}
        own = [name for name in self.maps if names & {_absolute(self.sources.get(name, {}).get("labels", ""))}]
        if len(own) == 1:
            return self.maps[own[0]]
        if len(self.maps) == 1:
            layer = next(iter(self.maps.values()))
        elif all(layer.grid.crs is not None for layer in self.maps.values()):
            layer = Layer.open([path for layer in self.maps.values() for path in layer.paths])
        else:
            raise InputError(
                f"{reference.source} is none of the label files of {self.run}, and its scenes "
                f"({', '.join(list(self.maps)[:5])}) have no CRS by which to find it. Give one of those files."
            )
        if (layer.grid.crs is None) == (reference.grid.crs is None) and not overlap_share(reference.grid, layer.grid):
            raise GridError(
                f"{reference.source} shows nothing of the scenes of {self.run}: all of it is new to that run. "
                "Score it without --withheld."
            )
        return layer


def _reason(split: Mapping[str, Any]) -> str:
    """Return the reason why a run has no maps, and what to do."""
    if split.get("kind") == "none":
        return "it learnt from all of its scenes. Score it on other scenes, without --withheld."
    whole = [name for name, parts in split.get("scenes", {}).items() if parts == ["val"]]
    if whole:
        return f"it withheld whole scenes ({list_names(whole, 5)}). Score those, without --withheld."
    return f"there is no folder {SplitMap.folder}. Train it again."


def _absolute(name: str) -> str:
    return os.path.abspath(name) if name else ""
