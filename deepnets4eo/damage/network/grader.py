"""A trained run as evidence of the main job: probabilities of the four grades for every building seen in both images.

Takes a run of the task `damage`, images, footprints and their registration. Refuses runs of other tasks, and images
that do not fit the run. Buildings that are not in both images have no such evidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from deepnets4eo.damage.evidence.working_grid import FINEST_GSD_M, make_working_grid
from deepnets4eo.damage.network.pairs import POST, PRE, box_centres, in_pixels, make_scene, on_working_grid, with_bands
from deepnets4eo.damage.network.pooling import Pooled, TileWork, pool_scene
from deepnets4eo.damage.network.scaling import scaled_to
from deepnets4eo.damage.stretched_images import image_stretches
from deepnets4eo.damage.vocabulary import GRADES
from deepnets4eo.device import choose
from deepnets4eo.errors import RunError
from deepnets4eo.footprints import FootprintAlignment
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.registration import Registration
from deepnets4eo.segmenters.checksums import CARD
from deepnets4eo.segmenters.inputs import GSD_FACTOR, InputSpec
from deepnets4eo.segmenters.run import Run, load_run
from deepnets4eo.segmenters.stretch import Stretch, show_scene
from deepnets4eo.zonal.outlines import Outlines

COLUMNS = {grade: f"ev_net_{grade.replace('-', '_')}" for grade in GRADES}
MEANING = {
    column: f"network: probability of {grade}, from the mean of its logits over the footprint, 0–1"
    for grade, column in COLUMNS.items()
}
EVEN_GRADES = "even_grades"  # note of the card of a run in whose training every grade counted the same


def is_run(path: str | Path) -> bool:
    """Whether a path is a trained run's folder, rather than the name of a model."""
    return (Path(path) / CARD).is_file()


@dataclass(frozen=True)
class NetworkGrader:
    """A run that grades buildings.

    Parameters
    ----------
    run
        The run of the task `damage`; `NetworkGrader.load` reads one and moves it to a device.
    gsd_factor
        By which pixels may be larger or smaller than those of the training.
    stretches
        How images that are not of 8 bits are shown to it, by role; see `fitted_to`.

    Examples
    --------
    ```python
    grader = NetworkGrader.load("runs/grader")
    table = grader.probabilities(pre, post, outlines_px, registration, alignment)
    ```
    """

    run: Run
    gsd_factor: float = GSD_FACTOR
    stretches: Mapping[str, Stretch] = field(default_factory=dict)

    @classmethod
    def load(
        cls, folder: str | Path, *, device: str = "auto", precision: str = "float32", gsd_factor: float = GSD_FACTOR
    ) -> NetworkGrader:
        """Read a run and check that it grades buildings.

        Errors: RunError for a damaged run, or one of another task; InputError for a device that is not there.
        """
        run = load_run(folder)
        notes = run.card.get("notes")
        temperature = notes.get("temperature") if isinstance(notes, dict) else None
        fitted = isinstance(temperature, (int, float)) and 0 < temperature < math.inf
        if run.inputs.names != [PRE, POST] or run.legend.names != GRADES or not fitted:
            raise RunError(
                f"{folder} takes {', '.join(run.inputs.names)} and has the classes {', '.join(run.legend.names)}: it does "
                "not grade buildings from pre and post. Give a run of `deepnets4eo train damage-siamese`."
            )
        run.segmenter.to(choose(device, precision))
        return cls(run, gsd_factor)

    def fitted_to(self, pre: Layer | None, post: Layer) -> NetworkGrader:
        """The same grader, to which these images are shown as of 8 bits where it learnt from such ones and they are not."""
        return replace(self, stretches=image_stretches(self.run.inputs.layers, pre, post))

    @property
    def temperature(self) -> float:
        """Divisor of the pooled logits, fitted on the run's validation buildings."""
        return float(self.run.card["notes"]["temperature"])

    @property
    def post_temperature(self) -> float | None:
        """The same of the head that grades from the post image alone; None where the run has no such head."""
        alone = self.run.card["notes"].get("post_alone")
        return float(alone["temperature"]) if isinstance(alone, dict) else None

    @property
    def grade_odds(self) -> NDArray[np.float64]:
        """(4,) added to the logits of a run that learnt each grade as if it were as common as any other; else 0.

        Within intact and within damaged buildings, the grades are taken to be half-way (geometric mean) between equally common
        and as common as among the run's validation buildings: both how common they are at a new place, and how much a rare grade
        matters, is not known. Chosen on made-up sites (see the card of `models/damage-network`).
        """
        notes = self.run.card["notes"]
        if not notes.get(EVEN_GRADES):
            return np.zeros(len(GRADES))
        counts = np.array([notes["split"]["buildings"]["val"][grade] for grade in GRADES], float).reshape(2, 2) + 1
        odds: NDArray[np.float64] = 0.5 * np.log(2 * counts / counts.sum(axis=1, keepdims=True)).ravel()
        return odds

    def probabilities(
        self,
        pre: Layer,
        post: Layer,
        outlines_px: NDArray[np.object_],
        registration: Registration,
        alignment: FootprintAlignment | None,
        aligned_on: Literal["pre", "post"] = "pre",
        work: TileWork = TileWork(),
    ) -> pd.DataFrame:
        """Probabilities of the grades, one row a footprint; NaN where a building has no pixel that both images show.

        outlines_px : (N,) polygons in pixels of the post image. work : what is kept, and which tiles are computed.
        Pre is resampled by the registration, both to the pixel size of the training, or their own where it is coarser.
        Errors: RunError where the images do not fit the run. Peak memory: three tiles and 80 bytes a building.
        """
        training_gsd_m = self.run.inputs.gsd_m if post.grid.crs is not None else None
        work_grid = make_working_grid(pre, post, registration, finest_m=training_gsd_m or FINEST_GSD_M)
        bands = len(self.run.inputs.layers[PRE].bands)
        scene = make_scene(with_bands(work_grid.layers[PRE], bands), with_bands(work_grid.layers[POST], bands))
        scene = show_scene(scene, self.stretches)
        registered = registration if aligned_on == "pre" else None
        outlines = in_pixels(on_working_grid(outlines_px, post, work_grid, alignment, registered), work_grid.shape)
        scene = self.run.inputs.as_trained(scene)
        self.run.inputs.check(scene, gsd_factor=self.gsd_factor)
        return pd.DataFrame(self.grade(scene, outlines, work), columns=list(COLUMNS.values()))

    def post_probabilities(
        self,
        post: Layer,
        outlines_px: NDArray[np.object_],
        registration: Registration | None,
        alignment: FootprintAlignment | None,
        aligned_on: Literal["pre", "post"],
        rows: NDArray[np.int64],
        work: TileWork = TileWork(),
    ) -> pd.DataFrame:
        """Probabilities of the grades from the post image alone, of some buildings; NaN for all others.

        Arguments as of `probabilities`, and rows : (M,) of the buildings. All are NaN where the run has no such head.
        Errors: RunError where the image does not fit the run.
        """
        graded = np.full((len(outlines_px), len(COLUMNS)), np.nan)
        if self.post_temperature is not None and len(rows):
            training_gsd_m = self.run.inputs.gsd_m if post.grid.crs is not None else None
            work_grid = make_working_grid(None, post, None, finest_m=training_gsd_m or FINEST_GSD_M)
            inputs = InputSpec({POST: self.run.inputs.layers[POST]}, self.run.inputs.gsd_m)
            scene = Scene({POST: with_bands(work_grid.layers[POST], len(inputs.layers[POST].bands))}, work_grid.grid)
            scene = show_scene(scene, self.stretches)
            registered = registration if aligned_on == "pre" else None
            outlines = in_pixels(on_working_grid(outlines_px, post, work_grid, alignment, registered), work_grid.shape)
            scene = inputs.as_trained(scene)
            inputs.check(scene, gsd_factor=self.gsd_factor)
            pooled = self._pool(scene, outlines, inputs, rows, work)
            graded[rows] = softmax(pooled.mean[rows] / self.post_temperature + self.grade_odds, axis=1)
        return pd.DataFrame(graded, columns=list(COLUMNS.values()))

    def grade(self, scene: Scene, outlines: Outlines, work: TileWork = TileWork()) -> NDArray[np.float64]:
        """(N, 4) calibrated probabilities of buildings on a scene with the layers pre and post; NaN where unseen."""
        return softmax(self.pool(scene, outlines, work).mean / self.temperature + self.grade_odds, axis=1)

    def pool(self, scene: Scene, outlines: Outlines, work: TileWork = TileWork()) -> Pooled:
        """Logits of the buildings, in one pass over the scene."""
        return self._pool(scene, outlines, self.run.inputs, None, work)

    def _pool(
        self, scene: Scene, outlines: Outlines, inputs: InputSpec, only: NDArray[np.int64] | None, work: TileWork
    ) -> Pooled:
        if self.run.card["notes"].get("scaling") == "scene":
            inputs = scaled_to(inputs, scene, box_centres(outlines, scene.shape))
        return pool_scene(self.run.segmenter, scene, outlines, inputs, self.run.tiling, only=only, work=work)
