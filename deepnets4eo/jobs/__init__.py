"""Jobs that write an output: one at a time, in parts, followed, and continued from what was finished."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(__name__, {".lock": "output_lock", ".parts": "Part"})
