"""A trained run as evidence of the main job: probabilities of the four grades, from both images or from only the post image."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy

from deepnets4eo.arrays import Floats, Geometries, Indices
from deepnets4eo.damage.images.dates import FINEST_GSD_M, in_colour
from deepnets4eo.damage.images.working_grid import make_working_grid
from deepnets4eo.damage.network.pairs import (
    POST,
    PRE,
    in_pixels,
    make_scene,
    on_working_grid,
    post_inputs,
    scaled_to,
    with_bands,
)
from deepnets4eo.damage.network.pooling import Pooled, fitted_tiling, pool_scene
from deepnets4eo.damage.network.roof_parts import Roofs
from deepnets4eo.damage.network.stretched_images import image_stretches
from deepnets4eo.damage.site.work import TileWork
from deepnets4eo.damage.table.vocabulary import GRADES
from deepnets4eo.device import TORCH, choose
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.footprints import FootprintAlignment
from deepnets4eo.lazy import check_extra
from deepnets4eo.outputs import Finding, Phrase, image_of
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.read_as import DARKEST, bright_value, is_grey
from deepnets4eo.registration import Registration
from deepnets4eo.segmenters import (
    GSD_FACTOR,
    AnySize,
    InputSpec,
    Run,
    Stretch,
    load_run,
    needed_stretch,
    shipped_run,
    show,
    show_scene,
)
from deepnets4eo.tiling import Tiling
from deepnets4eo.zonal import Outlines

SHIPPED = "damage-network"
SHIPPED_GSD_FACTOR = 3.0  # from the pixels of its training to the coarsest ones
MAX_OFF_NADIR_DEG = 30.0  # of the sensors that it learnt from
BANDS = 3
OFF_NADIR = re.compile(r"OFF_?NADIR|VIEW_?ANGLE|INCIDENCE_?FROM_?NADIR")
POST_ALONE = "post_alone"  # note of the card of a run with a head that grades from the post image alone
EVEN_GRADES = "even_grades"  # note of the card of a run in whose training every grade counted the same


@dataclass(frozen=True)
class NetworkGrader:
    """A run that grades buildings.

    gsd_factor : factor by which pixels may differ in size from the training pixels
    stretches : by role, how images that are not of 8 bits are shown to it
    """

    run: Run
    gsd_factor: float = GSD_FACTOR
    stretches: Mapping[str, Stretch] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        device: str = "auto",
        precision: str = "float32",
        runtime: str = "torch",
        gsd_factor: float = GSD_FACTOR,
    ) -> NetworkGrader:
        """Read a run and check that it grades buildings. Errors: RunError, InputError."""
        run = load_run(folder)
        notes = run.card.get("notes")
        temperature = notes.get("temperature") if isinstance(notes, dict) else None
        fitted = isinstance(temperature, (int, float)) and 0 < temperature < math.inf
        if run.inputs.names != [PRE, POST] or run.legend.names != GRADES or not fitted:
            raise RunError(
                f"{folder} takes {', '.join(run.inputs.names)} and has the classes {', '.join(run.legend.names)}: it does "
                "not grade buildings from pre and post. Give a run of `deepnets4eo train damage-pairs`."
            )
        run.segmenter.to(choose(device, precision, runtime=runtime))
        return cls(run, gsd_factor)

    def read_network(self) -> None:
        """Read the network if PyTorch computes it, so that PyTorch is loaded before its settings."""
        segmenter: Any = self.run.segmenter
        if not segmenter.compute.by_int8:
            getattr(segmenter, "module", None)

    def fitted_to(self, pre: Layer | None, post: Layer) -> NetworkGrader:
        """Return the grader with these images stretched to 8 bits, if it was trained on 8-bit images."""
        return replace(self, stretches=image_stretches(self.run.inputs.layers, pre, post))

    @property
    def temperature(self) -> float:
        """Divisor of the pooled logits, fitted on the run's validation buildings."""
        return float(self.run.card["notes"]["temperature"])

    @property
    def post_temperature(self) -> float | None:
        """Return the temperature of the head for only the post image; None without such a head."""
        alone = self.run.card["notes"].get(POST_ALONE)
        return float(alone["temperature"]) if isinstance(alone, dict) else None

    @property
    def grade_odds(self) -> Floats:
        """Return (4,) added to the logits of a run that learnt all grades as equally common: half-way to their validated shares."""
        notes = self.run.card["notes"]
        if not notes.get(EVEN_GRADES):
            return np.zeros(len(GRADES))
        counts = np.array([notes["split"]["buildings"]["val"][grade] for grade in GRADES], float).reshape(2, 2) + 1
        odds: Floats = 0.5 * np.log(2 * counts / counts.sum(axis=1, keepdims=True)).ravel()
        return odds

    def probabilities(
        self,
        pre: Layer,
        post: Layer,
        outlines_px: Geometries,
        registration: Registration,
        alignment: FootprintAlignment | None,
        aligned_on: Literal["pre", "post"] = "pre",
        work: TileWork = TileWork(),
    ) -> pd.DataFrame:
        """Return probabilities of the grades, one row per footprint; NaN if the images do not both show a pixel. Raises RunError."""
        carried = registration if aligned_on == "pre" else None
        scene, roofs = self._prepare(pre, post, registration, outlines_px, alignment, carried)
        return pd.DataFrame(self._grade_roofs(scene, roofs, work), columns=list(GRADES))

    def post_probabilities(
        self,
        post: Layer,
        outlines_px: Geometries,
        registration: Registration | None,
        alignment: FootprintAlignment | None,
        aligned_on: Literal["pre", "post"],
        rows: Indices,
        work: TileWork = TileWork(),
        *,
        few: bool = False,
    ) -> pd.DataFrame:
        """Return probabilities of the grades of some buildings (rows) from only the post image; NaN for others.

        few : whether a pair grades nearly all others, so that only small tiles around the buildings of `rows` are computed. At 15 real scenes (1,422
        buildings graded from POST) AUC is 0.977 in tiles of 256 px, as in training, and 0.968 in tiles fitted to all outlines.

        The AUC of a scene differs by −0.11 to 0.04."""
        graded = np.full((len(outlines_px), len(GRADES)), np.nan)
        if self.post_temperature is not None and len(rows):
            carried = registration if aligned_on == "pre" else None
            scene, roofs = self._prepare(None, post, None, outlines_px, alignment, carried)
            tiling = self.run.tiling.small if few else fitted_tiling(self.run.tiling, roofs.outlines)
            pooled = self._pool(scene, roofs, post_inputs(self.run.inputs), tiling, rows, work)
            graded[rows] = self._soften(pooled, self.post_temperature)[rows]
        return pd.DataFrame(graded, columns=list(GRADES))

    def _prepare(
        self, pre: Layer | None, post: Layer, registration: Registration | None, outlines_px: Geometries,
        alignment: FootprintAlignment | None, carried: Registration | None,
    ) -> tuple[Scene, Roofs]:  # fmt: skip
        """Return the scene as the network takes it, and the roofs on it. carried : moves outlines of pre to post."""
        inputs = post_inputs(self.run.inputs) if pre is None else self.run.inputs
        training_gsd_m = inputs.gsd_m if post.grid.crs is not None else None
        work_grid = make_working_grid(pre, post, registration, finest_m=training_gsd_m or FINEST_GSD_M)
        seen = {role: with_bands(work_grid.layers[role], len(layer.bands)) for role, layer in inputs.layers.items()}
        scene = Scene(seen, work_grid.grid) if pre is None else make_scene(seen[PRE], seen[POST])
        scene = inputs.as_trained(show_scene(scene, self.stretches))
        inputs.check(scene, gsd_factor=self.gsd_factor)
        shapes = on_working_grid(outlines_px, post, work_grid, alignment, carried)
        if pre is None:  # parts of intact roofs look damaged more often in one image
            return scene, Roofs(in_pixels(shapes, work_grid.shape))
        return scene, Roofs.of(shapes, work_grid.gsd_m, work_grid.shape)

    def grade(self, scene: Scene, outlines: Outlines, work: TileWork = TileWork()) -> Floats:
        """Return (N, 4) calibrated probabilities on a scene with the layers pre and post; NaN for unseen buildings."""
        return self._grade_roofs(scene, Roofs(outlines), work)

    def _grade_roofs(self, scene: Scene, roofs: Roofs, work: TileWork) -> Floats:
        tiling = fitted_tiling(self.run.tiling, roofs.outlines)
        pooled = self._pool(scene, roofs, self.run.inputs, tiling, None, work)
        return roofs.by_worst_part(self._soften(pooled, self.temperature))

    def _soften(self, pooled: Pooled, temperature: float) -> Floats:
        """Return probabilities of the grades from pooled logits."""
        return np.asarray(scipy.special.softmax(pooled.mean / temperature + self.grade_odds, axis=1))

    def _pool(
        self, scene: Scene, roofs: Roofs, inputs: InputSpec, tiling: Tiling, only: Indices | None, work: TileWork
    ) -> Pooled:
        if self.run.card["notes"].get("scaling") == "scene":
            inputs = scaled_to(inputs, scene, roofs.centres)
        pooled = pool_scene(self.run.segmenter, scene, roofs.outlines, inputs, tiling, only=only, work=work)
        for row in [row for row in work.failed if row >= len(roofs)]:
            del work.failed[row]  # a part, which fails together with its roof
        return pooled


def shipped_folder() -> Path | None:
    """Return the folder of the network's run, or None if this copy comes without its weights."""
    return shipped_run(SHIPPED)


def shipped_runtime(device: str, scene_px: int) -> str:
    """Return the runtime that this processor computes the shipped network fastest with on a scene of so many pixels; PyTorch on a GPU, and
    where the network cannot be used."""
    chosen = choose(device)
    grader = open_shipped(device)[0] if chosen.device == "cpu" else None
    int8 = None if grader is None else getattr(grader.run.segmenter, "int8", None)
    return TORCH if int8 is None else str(int8.fastest_runtime(scene_px))


def open_shipped(
    device: str = "auto", precision: str = "auto", runtime: str = "torch"
) -> tuple[NetworkGrader | None, Finding | None]:
    """Return the shipped network, or the finding why it is not used; neither without weights.

    Raises InputError for a device or precision that this machine does not have."""
    folder = shipped_folder()
    if folder is None:
        return None, None
    try:
        check_extra("deep")
        grader = NetworkGrader.load(folder, device="cpu", gsd_factor=SHIPPED_GSD_FACTOR)
    except (InputError, RunError) as error:
        return None, not_used(str(error))
    grader.run.segmenter.to(choose(device, precision, runtime=runtime))
    return grader, None


def not_used(reason: Phrase | str) -> Finding:
    """Return the finding that the network did not take part. reason : a phrase, or the text of an error."""
    why = Finding.verbatim(reason.rstrip(".")) if isinstance(reason, str) else reason
    return Finding("network_not_used", "note", {"reason": why})


def pre_not_read(reason: Phrase) -> Finding:
    """Return the finding that the network grades from only the post image, since it does not support such a pre image."""
    return Finding("pre_not_read", "note", {"reason": reason})


def why_unfit(grader: NetworkGrader, role: str, layer: Layer | None) -> Phrase | None:
    """Return why the network does not read an image, else None."""
    if layer is None:
        return None
    image = image_of(role)
    if layer.count < BANDS:
        return Phrase("unread_bands", {"image": image, "bands": layer.count})
    size_m = layer.gsd_m if layer.grid.crs is not None else None
    if size_m is not None and not AnySize.finest_m <= size_m <= AnySize.coarsest_m:
        limits_m = {"finest_m": AnySize.finest_m, "coarsest_m": AnySize.coarsest_m}
        return Phrase("unread_pixels", {"image": image, "size_m": size_m, **limits_m})
    angle_deg = off_nadir_deg(layer)
    if angle_deg is not None and angle_deg > MAX_OFF_NADIR_DEG:
        return Phrase("unread_angle", {"image": image, "angle_deg": angle_deg, "most_deg": MAX_OFF_NADIR_DEG})
    colours, expected = in_colour(layer), grader.run.inputs.layers[role]
    stretch = needed_stretch(expected, colours)
    colours = show(colours, stretch)
    if problems := InputSpec({role: expected}).problems(Scene({role: colours}, layer.grid)):
        return Phrase("unread_inputs", {"image": image, "problems": Finding.verbatim("; ".join(problems))})
    if is_grey(colours):
        return Phrase("unread_grey", {"image": image})
    bright = bright_value(colours) if layer.dtype.itemsize == 1 else None
    if bright is not None and bright < DARKEST:
        return Phrase("unread_dark", {"image": image, "bright": bright})
    return None


def off_nadir_deg(layer: Layer) -> float | None:
    """Return the off-nadir angle in degrees from an image's tags, or None."""
    for name, text in layer.tags.items():
        if OFF_NADIR.search(name.upper()):
            try:
                return abs(float(text))
            except ValueError:
                continue
    return None
