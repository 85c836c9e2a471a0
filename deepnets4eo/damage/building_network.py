"""How likely the network for buildings finds it that one stands within each of some outlines.

Takes an image and outlines in its pixels; returns log-odds from the mean of the network's logits over each outline. Looks only
at tiles in which outlines lie, and at nothing where the image is none that the network takes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from scipy.special import logsumexp

from deepnets4eo.arrays import Floats, Geometries
from deepnets4eo.cards.catalog import run_path
from deepnets4eo.damage.building_image import to_working_image
from deepnets4eo.damage.find_buildings import BORDER, BUILDING, SHIPPED
from deepnets4eo.damage.network.grader import is_run
from deepnets4eo.damage.network.pairs import in_pixels
from deepnets4eo.damage.network.pooling import TileWork, pool_scene
from deepnets4eo.damage.probabilities import MOST_LOG_ODDS
from deepnets4eo.device import choose
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.grid import transform_shapes
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.segmenters.run import Run, load_run

WORKING_GSD_M = 0.7  # at Joplin as good as at 0.5 m, in half the time


@dataclass(frozen=True)
class BuildingNetwork:
    """The network for buildings that comes with the toolbox, to look within outlines."""

    run: Run

    @classmethod
    def in_box(cls) -> BuildingNetwork | None:
        """Open it in the fastest precision of this machine; None where this copy comes without its weights, or they are damaged."""
        folder = run_path(SHIPPED)
        if not is_run(folder):
            return None
        try:
            run = load_run(folder)
        except RunError:
            return None
        run.segmenter.to(choose("auto", "auto"))
        return cls(run)

    def log_odds(self, image: Layer, outlines: Geometries, work: TileWork = TileWork()) -> Floats | None:
        """(N,) log-odds of a building within outlines in pixels of the image; NaN where it shows no pixel of one.

        None where the image is none that the network takes. work : what is kept of the tiles, and which are computed.
        """
        try:
            working = to_working_image(image, WORKING_GSD_M)
        except InputError:
            return None
        (name,) = self.run.inputs.names
        to_working = Affine.scale(*(new / old for new, old in zip(working.shape[::-1], image.shape[::-1], strict=True)))
        shapes = in_pixels(transform_shapes(to_working, shapely.force_2d(outlines)), working.shape)
        scene = Scene({name: working}, working.grid)
        logits = pool_scene(self.run.segmenter, scene, shapes, self.run.inputs, self.run.tiling, work=work).mean
        built = np.isin(self.run.legend.names, (BUILDING, BORDER))
        odds = logsumexp(logits[:, built], axis=1) - logsumexp(logits[:, ~built], axis=1)
        return np.clip(odds, -MOST_LOG_ODDS, MOST_LOG_ODDS)
