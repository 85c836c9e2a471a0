"""Radar phase: the coherence of complex images of two dates, free of fringes and of its bias, and its drop at an event."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .coherence import interferometric_coherence as interferometric_coherence
    from .job import CoherenceMap as CoherenceMap, coherence_raster as coherence_raster
    from .looks import CoherenceBias as CoherenceBias
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".coherence": ["interferometric_coherence"],
            ".job": ["CoherenceMap", "coherence_raster"],
            ".looks": ["CoherenceBias"],
        },
    )
