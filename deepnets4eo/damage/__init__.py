"""Building damage from a pre-event image, a post-event image and footprints.

`assess` runs the whole job and returns a `DamageMap`; `register` is its second step alone.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "assess": "deepnets4eo.damage.job",
    "buildings_of": "deepnets4eo.damage.segmented",
    "Settings": "deepnets4eo.damage.job",
    "DamageMap": "deepnets4eo.damage.map",
    "Footprints": "deepnets4eo.damage.footprints",
    "read_footprints": "deepnets4eo.damage.footprints",
    "register": "deepnets4eo.damage.registration",
    "Registration": "deepnets4eo.damage.registration",
    "align_footprints": "deepnets4eo.damage.registration",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'deepnets4eo.damage' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
