"""Images before and after an event from catalogues (STAC), and the plan of a damage map that they make: the verb `find`."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Plan": "deepnets4eo.catalogues.plan",
    "make_plan": "deepnets4eo.catalogues.plan",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
