"""A detector of cars and similar objects: a mixture of part templates over HOG, and the map made from its detections."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit

from deepnets4eo.arrays import FloatImage, Floats
from deepnets4eo.baselines.parts.boxes import paint
from deepnets4eo.baselines.parts.detection import Detections, detect_scene, find_objects, to_geodataframe
from deepnets4eo.baselines.parts.learning import train_templates
from deepnets4eo.baselines.parts.references import references, training_windows
from deepnets4eo.baselines.parts.templates import PartModels, PartSettings, Shapes, TemplateBank
from deepnets4eo.baselines.tile_segmenter import TileSegmenter
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import atomic_write
from deepnets4eo.prediction import open_scene
from deepnets4eo.rasters import Scene
from deepnets4eo.read_as import assess_scene
from deepnets4eo.segmenters import InputSpec, scene_gsd_m
from deepnets4eo.tiling import Tiling

BANK = "templates.safetensors"
HOG = 31
ARRAYS = {"things": np.float64, "component": np.int64, "sizes": np.int64, "cell_px": np.int64, "weights": np.float32,
         "bias": np.float32, "slope": np.float32, "offset": np.float32}  # fmt: skip

if TYPE_CHECKING:
    import geopandas as gpd

PARTS = ("weights", "anchors", "springs")


log = logging.getLogger(__name__)

CORE_PX = 768
WIDTH_CELLS = 5  # across an object of median width, where the cell is not given
CELLS_PX = (3, 8)
LARGEST = 1.25  # the largest object to detect, in median diagonals


class PartDetector(TileSegmenter):
    """Discriminatively trained mixture of part templates (DtMM).

    Objects are sorted into sub-categories by aspect ratio; each sub-category has templates at evenly spread headings.

    A template is a linear SVM over HOG cells. It is trained on objects rotated to its heading, and on its own false
    alarms in the background.

    As a segmenter, it assigns the class the probability of the box inside a detected box, and 0 elsewhere. The other
    classes share the remaining probability.

    Sources: Randrianarivo, Le Saux, Crucianu, Ferecatu, 2015; Felzenszwalb et al., PAMI 32(9), 2010.

    Parameters
    ----------
    inputs, legend : layers and bands of the images, and the classes
    settings : how templates are made, trained and applied
    class_name : the class that is detected
    bands : layer → names of its bands, for files without names
    tiling : how scenes are cut for prediction, by default with a halo that suffices for the templates
    bank : trained templates

    Raises
    ------
    InputError
        By `fit` if no object can be used for training, and by `detect` and `save` if they are called before `fit`.

    Examples
    --------
    >>> from deepnets4eo.segmenters import LayerInput
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

        Errors: InputError where the scenes show nothing of the class, or nothing whole. Memory: `max_windows` windows
        of about 500² pixels, some 8 bytes a pixel and scale; 1 MB an object."""
        if class_name is not None:
            self.class_name = self.legend.names[self.legend.index(class_name)]
        scenes = [assess_scene(scene, on_ground=False, legend=self.legend) for scene in scenes]
        reference_boxes = references(scenes, self.legend, self.class_name, outlines)
        boxes = np.concatenate([reference.boxes[reference.usable] for reference in reference_boxes])
        if not len(boxes):
            raise InputError(
                f"none of the {sum(len(reference.boxes) for reference in reference_boxes)} regions of {self.class_name!r} is whole: all touch "
                "the edge, or are several in one. Give larger scenes, or outlines."
            )
        reach_px = self._plan(boxes)
        windows = training_windows(
            scenes, reference_boxes, self.inputs, self.grey, margin_px=reach_px,
            max_windows=self.settings.max_windows, rng=np.random.default_rng(seed),
        )  # fmt: skip
        trained = train_templates(windows, self.settings, self._cell_px(boxes), seed)
        self.bank, self.history = trained.bank, trained.history
        return self

    def detect(
        self, scene: Scene, *, min_score: float | None = None, progress: Callable[[float], None] | None = None
    ) -> gpd.GeoDataFrame:
        """Detect objects in a scene of any size, tile by tile; objects on a seam are returned once.

        min_score : minimum probability of a detection. Returns a GeoDataFrame in the scene's CRS, best first:
        `id`, `class`, `score` (probability), `component`, `length_m`, `width_m` (pixels without a CRS), `heading_deg`,
        rectangles. Raises RunError if the scene does not fit."""
        scene = open_scene(scene, self)
        self.inputs.check(scene)
        found_gsd, own_gsd = scene_gsd_m(scene), self.inputs.gsd_m
        scale = found_gsd / own_gsd if found_gsd and own_gsd else 1.0
        detections = detect_scene(
            scene, self.inputs, self.tiling, lambda image: self._find(self.grey(image), min_score, scale),
            max_iou=self.settings.max_iou, progress=progress,
        )  # fmt: skip
        component = self._trained().shapes.component[detections.template]
        score = _probabilities(detections).astype(np.float64)
        return to_geodataframe(detections, score, component, self.class_name, scene.grid)

    def label(self, image: FloatImage, margin_px: int) -> FloatImage:
        """Return probabilities of one prepared image, from the boxes detected in it."""
        detections = self._find(self.grey(image), None, 1.0)
        probability = paint(detections.boxes, _probabilities(detections), (image.shape[1], image.shape[2]))
        height, width = probability.shape
        probability = probability[margin_px : height - margin_px, margin_px : width - margin_px]
        count = self.legend.num_classes
        others = (1 - probability) / np.float32(max(1, count - 1))
        out = np.repeat(others[None], count, axis=0)
        out[self.legend.index(self.class_name)] = probability if count > 1 else 1
        return np.asarray(out, np.float32)

    def grey(self, image: FloatImage) -> FloatImage:
        """Return the grey image that templates are applied to, (h, w) float32, 0 to 1, of a prepared one (C, h, w)."""
        return self.to_physical_units(image).grey()

    def describe(self) -> dict[str, Any]:
        """Return plain values that `restore` needs to rebuild the same detector."""
        return super().describe() | {"class_name": self.class_name, "settings": self.settings.to_dict()}

    def save(self, folder: str | Path) -> list[str]:
        """Write the templates as safetensors; returns the file's name. Errors: InputError before training."""
        save_bank(self._trained(), Path(folder) / BANK)
        return [BANK]

    @classmethod
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> PartDetector:
        """Make the detector that `save` wrote. Errors: RunError for a file that is damaged or has no templates."""
        settings = PartSettings.from_dict(description["settings"])
        bank = load_bank(folder / BANK)
        if (bank.parts is None) != (settings.parts == 0):
            raise RunError(f"{folder / BANK} does not have the {settings.parts} parts a template of its card.")
        own: dict[str, Any] = {"class_name": description["class_name"], "bands": description["bands"]}
        return cls(inputs, legend, settings=settings, tiling=tiling, bank=bank, **own)

    def _trained(self) -> TemplateBank:
        if self.bank is None:
            raise InputError("the part detector is not trained. Call fit(scenes) first, or load a run.")
        return self.bank

    def _find(self, grey: FloatImage, min_score: float | None, scale: float) -> Detections:
        least = self.settings.min_score if min_score is None else min_score
        return find_objects(grey, self._trained(), self.settings, least=float(logit(np.clip(least, 0, 1))), scale=scale)

    def _cell_px(self, boxes: Floats) -> int:
        if self.settings.cell_px is not None:
            return self.settings.cell_px
        smallest, largest = CELLS_PX
        own = min(max(round(float(np.median(boxes[:, 3])) / WIDTH_CELLS), smallest), largest)
        return own if not self.settings.parts else 2 * own  # the parts use finer cells

    def _plan(self, boxes: Floats) -> int:
        """Return the reach of the templates in pixels; if no tiling was given, set one whose halo covers the reach."""
        diagonal = float(np.median(np.hypot(boxes[:, 2], boxes[:, 3]))) * LARGEST
        reach_px = math.ceil((diagonal / 2 + 2 * self._cell_px(boxes)) / min(self.settings.scales))
        if not self._own_tiling:
            # an object whose centre is on the core's edge extends half a diagonal beyond it and must be whole,
            # and all tiles are cut in the same cells
            cell_px = self._cell_px(boxes)
            halo_px = -(-(reach_px + math.ceil(diagonal / 2)) // cell_px) * cell_px
            core_px = CORE_PX // cell_px * cell_px
            self.tiling = replace(self.tiling, tile_px=core_px + 2 * halo_px, halo_px=halo_px)
        return reach_px


def _probabilities(detections: Detections) -> FloatImage:
    """Return probabilities (N,) float32 of logits."""
    return np.asarray(expit(detections.score.astype(np.float64)), np.float32)


def save_bank(bank: TemplateBank, path: Path) -> None:
    """Write all arrays of a bank."""
    from safetensors.numpy import save_file

    shapes = bank.shapes
    arrays = {
        "things": shapes.things, "component": shapes.component, "sizes": shapes.sizes,
        "cell_px": np.array([shapes.cell_px]), "weights": bank.weights, "bias": bank.bias, "slope": bank.slope,
        "offset": bank.offset,
    }  # fmt: skip
    if bank.parts is not None:
        arrays |= {f"parts.{name}": getattr(bank.parts, name) for name in PARTS}
    with atomic_write(path) as partial:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, partial)


def load_bank(path: Path) -> TemplateBank:
    """Read a bank. Errors: RunError for a file that is damaged or has no templates."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} cannot be read: {error}. Copy the run again.") from error
    missing = sorted(set(ARRAYS) - set(arrays))
    if missing:
        raise RunError(f"{path} has no templates: {', '.join(missing)} are missing. Copy the run again.")
    wrong = sorted(name for name, dtype in ARRAYS.items() if arrays[name].dtype != dtype)
    count = arrays["component"].size
    expected = {"things": (count, 3), "sizes": (count, 2), "cell_px": (1,)}
    expected |= dict.fromkeys(("component", "bias", "slope", "offset"), (count,))
    fits = not wrong and count > 0 and all(arrays[name].shape == shape for name, shape in expected.items())
    shapes = Shapes(
        arrays["things"], arrays["component"], arrays["sizes"], int(arrays["cell_px"].flat[0]) if fits else 1
    )
    if not fits or arrays["weights"].shape != (count, HOG, *shapes.frame):
        raise RunError(f"{path} has templates that do not fit one another {wrong or ''}. Copy the run again.")
    parts = None
    if all(f"parts.{name}" in arrays for name in PARTS):
        parts = PartModels(**{name: arrays[f"parts.{name}"] for name in PARTS})
    weights, bias, slope, offset = (arrays[name] for name in ("weights", "bias", "slope", "offset"))
    return TemplateBank(shapes, weights, bias, slope, offset, parts)
