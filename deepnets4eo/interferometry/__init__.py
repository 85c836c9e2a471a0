"""Radar phase: the coherence of complex images of two dates, free of fringes and of its bias, and its drop at an event."""

from .coherence import interferometric_coherence
from .job import CoherenceMap, coherence_raster
from .looks import CoherenceBias

__all__ = ["CoherenceBias", "CoherenceMap", "coherence_raster", "interferometric_coherence"]
