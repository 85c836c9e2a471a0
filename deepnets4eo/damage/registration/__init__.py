"""Registration of pre, post and footprints: what moves is coordinates, the pixels stay.

`register` measures how two images of one place lie against each other and judges it; `align_footprints` finds how
polygons must move to lie on the roofs of an image; `local_offsets` adds what single leaning roofs need.
"""

from deepnets4eo.damage.registration.align import assume_registered, register
from deepnets4eo.damage.registration.footprints import FootprintAlignment, align_footprints
from deepnets4eo.damage.registration.refine import LocalOffsets, local_offsets
from deepnets4eo.damage.registration.result import Registration

__all__ = [
    "FootprintAlignment",
    "LocalOffsets",
    "Registration",
    "align_footprints",
    "assume_registered",
    "local_offsets",
    "register",
]
