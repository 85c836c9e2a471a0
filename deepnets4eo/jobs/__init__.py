"""Jobs that write an output: one at a time, in parts, followed, and continued from what was finished."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "output_lock": "deepnets4eo.jobs.lock",
    "Part": "deepnets4eo.jobs.parts",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
