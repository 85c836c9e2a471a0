"""Registration of pre, post and footprints: what moves is coordinates, the pixels stay.

`register` measures how two images of one place lie against each other and judges it; `align_footprints` finds how
polygons must move to lie on the roofs of an image.
"""

from deepnets4eo.damage.registration.align import assume_registered, register
from deepnets4eo.damage.registration.footprints import FootprintAlignment, align_footprints
from deepnets4eo.damage.registration.result import Registration

__all__ = [
    "FootprintAlignment",
    "Registration",
    "align_footprints",
    "assume_registered",
    "register",
]
