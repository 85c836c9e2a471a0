"""A detector of cars and the like: a mixture of part templates over HOG, and the map painted from what it finds.

Takes scenes with labels (or outlines) to learn from; gives boxes as polygons, or probabilities as any segmenter.
Refuses scenes that show nothing of the class, and to detect before it has learned.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.parts.bank_file import BANK, load_bank, save_bank
from deepnets4eo.baselines.parts.detection import Detections, find
from deepnets4eo.baselines.parts.learning import fit_samples
from deepnets4eo.baselines.parts.references import references
from deepnets4eo.baselines.parts.scene_detection import as_frame, detect_scene
from deepnets4eo.baselines.parts.settings import PartSettings
from deepnets4eo.baselines.parts.templates import TemplateBank
from deepnets4eo.baselines.parts.windows import training_windows
from deepnets4eo.baselines.tile_segmenter import TileSegmenter
from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.grid import Grid
from deepnets4eo.polygons.boxes import paint
from deepnets4eo.rasters.scene import Scene
from deepnets4eo.segmenters.inputs import InputSpec, scene_gsd_m
from deepnets4eo.tiling import Tiling

if TYPE_CHECKING:
    import geopandas as gpd


log = logging.getLogger(__name__)

CORE_PX = 768
WIDTH_CELLS = 5  # of a thing of median width, where the cell is not given
CELLS_PX = (3, 8)
LARGEST = 1.25  # the largest thing looked for, in median diagonals


class PartDetector(TileSegmenter):
    """Discriminatively trained mixture of part templates (DtMM).

    Things are sorted into sub-categories by their aspect ratio; each has a template at evenly spread headings, a linear
    SVM over HOG cells trained on things turned to that heading and on background mined where it fails. As a segmenter:
    inside the boxes found, the class has the box's probability and the others share what is left equally; elsewhere
    the class has none and the others share all, so only the class itself is worth scoring.

    Sources: Randrianarivo, Le Saux, Crucianu, Ferecatu, 2015; Felzenszwalb et al., PAMI 32(9), 2010.

    >>> from deepnets4eo.segmenters.inputs import LayerInput
    >>> layer = LayerInput(("red", "green", "blue"), (0.0,) * 3, (1.0,) * 3, 0.0, 255.0)
    >>> PartDetector(InputSpec({"image": layer}), Legend.load("isprs")).class_name
    'car'
    """

    kind = "part-detector"

    def __init__(
        self,
        inputs: InputSpec,
        legend: Legend,
        *,
        settings: PartSettings | None = None,
        class_name: str = "car",
        bands: Mapping[str, Sequence[str]] | None = None,
        tiling: Tiling | None = None,
        bank: TemplateBank | None = None,
    ) -> None:
        super().__init__(inputs, legend, bands=bands, tiling=tiling or Tiling(CORE_PX + 2 * 64, 64))
        self.settings = settings or PartSettings()
        self.class_name = legend.names[legend.index(class_name)]
        self.bank = bank
        self.history: tuple[float, ...] = ()
        self._own_tiling = tiling is not None

    def fit(
        self,
        scenes: Sequence[Scene],
        *,
        class_name: str | None = None,
        outlines: Sequence[gpd.GeoDataFrame] | None = None,
        seed: int = 0,
    ) -> PartDetector:
        """Learn from the scenes' `labels`, or from a layer of outlines for each scene; returns itself.

        Errors: InputError where the scenes show nothing of the class, or nothing whole.
        Memory: `max_windows` windows of about 500² pixels with their HOG, some 8 bytes a pixel and scale; 1 MB a thing.
        """
        if class_name is not None:
            self.class_name = self.legend.names[self.legend.index(class_name)]
        known = references(scenes, self.legend, self.class_name, outlines)
        boxes = np.concatenate([one.boxes[one.usable] for one in known])
        if not len(boxes):
            raise InputError(
                f"none of the {sum(len(one.boxes) for one in known)} regions of {self.class_name!r} is whole: all touch "
                "the edge, or several hang together. Give larger scenes, or outlines."
            )
        reach_px = self._plan(boxes)
        windows = training_windows(
            scenes,
            known,
            self.inputs,
            self.grey,
            margin_px=reach_px,
            max_windows=self.settings.max_windows,
            rng=np.random.default_rng(seed),
        )
        learned = fit_samples(windows, self.settings, self._cell_px(boxes), seed)
        self.bank, self.history = learned.bank, learned.history
        return self

    def detect(
        self, scene: Scene, *, min_score: float | None = None, progress: Callable[[float], None] | None = None
    ) -> gpd.GeoDataFrame:
        """Find things in a scene of any size, tile by tile; things on a seam are found once.

        min_score : probability from which on there is a detection; the settings' own where not given.
        returns : GeoDataFrame in the scene's CRS, best first: `id` text, `class` text, `score` float64 (probability),
        `component` int64, `length_m`, `width_m` (pixels without a CRS), `heading_deg`, `geometry` rectangles.
        Errors: RunError where the scene does not fit. Memory: one tile and all detections.
        """
        self.inputs.check(scene)
        found_gsd, own_gsd = scene_gsd_m(scene), self.inputs.gsd_m
        scale = found_gsd / own_gsd if found_gsd and own_gsd else 1.0
        found = detect_scene(
            scene,
            self.inputs,
            self.tiling,
            lambda image: self._find(self.grey(image), min_score, scale),
            max_iou=self.settings.max_iou,
            progress=progress,
        )
        return self._frame(found, scene.grid)

    def label(self, image: FloatImage, margin_px: int) -> FloatImage:
        """Probabilities of one prepared image, painted from the boxes found in it."""
        found = self._find(self.grey(image), None, 1.0)
        chance = paint(found.boxes, _chance(found), (image.shape[1], image.shape[2]))
        height, width = chance.shape
        chance = chance[margin_px : height - margin_px, margin_px : width - margin_px]
        count = self.legend.num_classes
        others = (1 - chance) / np.float32(max(1, count - 1))
        out = np.repeat(others[None], count, axis=0)
        out[self.legend.index(self.class_name)] = chance if count > 1 else 1
        return np.asarray(out, np.float32)

    def grey(self, image: FloatImage) -> FloatImage:
        """The grey image that templates see, (h, w) float32, 0 to 1, of a prepared one (C, h, w)."""
        bands: Bands = self.to_physical_units(image)
        return bands.grey()

    def describe(self) -> dict[str, Any]:
        """Plain values from which `restore` makes the same detector again."""
        return super().describe() | {"class_name": self.class_name, "settings": self.settings.to_dict()}

    def save(self, folder: str | Path) -> list[str]:
        """Write the templates as safetensors; returns the file's name. Errors: InputError before training."""
        save_bank(self._trained(), Path(folder) / BANK)
        return [BANK]

    @classmethod
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> PartDetector:
        """The detector that `save` wrote. Errors: RunError for a file that is damaged or holds no templates."""
        settings = PartSettings.from_dict(description["settings"])
        bank = load_bank(folder / BANK)
        if (bank.parts is None) != (settings.parts == 0):
            raise RunError(f"{folder / BANK} does not hold the {settings.parts} parts a template that its card names.")
        own: dict[str, Any] = {"class_name": description["class_name"], "bands": description["bands"]}
        return cls(inputs, legend, settings=settings, tiling=tiling, bank=bank, **own)

    def _trained(self) -> TemplateBank:
        if self.bank is None:
            raise InputError("the part detector has not learned anything yet. Call fit(scenes) first, or load a run.")
        return self.bank

    def _find(self, grey: FloatImage, min_score: float | None, scale: float) -> Detections:
        least = self.settings.min_score if min_score is None else min_score
        return find(grey, self._trained(), self.settings, least=_logit(least), scale=scale)

    def _frame(self, found: Detections, grid: Grid) -> gpd.GeoDataFrame:
        component = self._trained().shapes.component[found.template]
        return as_frame(found, _chance(found).astype(np.float64), component, self.class_name, grid)

    def _cell_px(self, boxes: NDArray[np.float64]) -> int:
        if self.settings.cell_px is not None:
            return self.settings.cell_px
        smallest, largest = CELLS_PX
        own = min(max(round(float(np.median(boxes[:, 3])) / WIDTH_CELLS), smallest), largest)
        return own if not self.settings.parts else 2 * own  # the parts see what is fine

    def _plan(self, boxes: NDArray[np.float64]) -> int:
        """Reach of the templates, and a tiling whose halo holds it where none was given."""
        diagonal = float(np.median(np.hypot(boxes[:, 2], boxes[:, 3]))) * LARGEST
        reach_px = math.ceil((diagonal / 2 + 2 * self._cell_px(boxes)) / min(self.settings.scales))
        if not self._own_tiling:
            # the middle of a thing that lies on the core's edge is half a diagonal outside, and must be seen whole
            # and all tiles are cut in the same cells
            cell_px = self._cell_px(boxes)
            halo_px = -(-(reach_px + math.ceil(diagonal / 2)) // cell_px) * cell_px
            core_px = CORE_PX // cell_px * cell_px
            self.tiling = replace(self.tiling, tile_px=core_px + 2 * halo_px, halo_px=halo_px)
        return reach_px


def _chance(found: Detections) -> FloatImage:
    """Probabilities (N,) float32 of logits."""
    return np.asarray(1 / (1 + np.exp(-found.score.astype(np.float64))), np.float32)


def _logit(probability: float) -> float:
    if probability <= 0 or probability >= 1:
        return -math.inf if probability <= 0 else math.inf
    return math.log(probability / (1 - probability))
