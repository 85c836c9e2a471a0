"""Images before and after an event from catalogues (STAC), and the plan of a damage map that they make: the verb `find`."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(__name__, {".plan": "Plan make_plan"})
