"""A measured prior: intensities at the buildings, and the curve that states their effect."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import scipy
from pydantic import Field

from deepnets4eo.arrays import Floats
from deepnets4eo.options import option_group

MIN_PROBABILITY = 0.01  # no curve is trusted nearer to 0 or 1


@option_group
class Curve:
    """A fragility curve: the probability of major damage or worse, lognormal in the intensity.

    >>> Curve(54.5, 0.16).probability(np.array([0.0, 54.5, 90.0])).round(2).tolist()
    [0.01, 0.5, 0.99]
    """

    median: Annotated[float, Field(gt=0)]
    beta: Annotated[float, Field(gt=0)]
    source: str = "not stated"
    weight: Annotated[float | None, Field(ge=0, le=1)] = None

    def probability(self, intensity: Floats) -> Floats:
        """Return (N,) probabilities of intensities (N,); NaN stays NaN."""
        with np.errstate(divide="ignore"):
            value = np.log(intensity / self.median) / self.beta
        return np.asarray(np.clip(scipy.special.ndtr(value), MIN_PROBABILITY, 1 - MIN_PROBABILITY))


class MeasuredPrior(NamedTuple):
    """Intensities (N,) at the buildings in a unit, NaN if unknown; kind and source name what they measure, and the file."""

    kind: str
    source: str
    unit: str
    curve: Curve
    intensities: Floats
