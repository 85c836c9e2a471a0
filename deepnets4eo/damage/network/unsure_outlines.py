"""Outlines of a network that is not sure of them: shown without a grade if there are many, since some are buildings."""

from __future__ import annotations

import numpy as np
import pandas as pd

from deepnets4eo.arrays import Mask
from deepnets4eo.damage.settings import Settings
from deepnets4eo.footprints import Footprints

PROBABILITY = "building_prob"  # column of the outlines
# Mean over an outline of runs that take any ground size: of outlines below it, six in seven match no building (SYNTHETIC).
MIN_PROBABILITY = 0.7


def unsure_outlines(footprints: Footprints, settings: Settings) -> Mask:
    """Return (N,) outlines that the segmenter of the job is not sure of; none for outlines that were given."""
    attributes = footprints.attributes
    if settings.segmenter is None or attributes is None or PROBABILITY not in attributes:
        return np.zeros(len(footprints), bool)
    return np.asarray(pd.to_numeric(attributes[PROBABILITY], errors="coerce").to_numpy(float) < MIN_PROBABILITY)
