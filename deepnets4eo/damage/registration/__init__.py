"""Registration of pre, post and footprints: what moves is coordinates, the pixels stay.

`register` measures how two images of one site lie against each other and how reliable that is; `align_footprints`
measures how polygons must move to lie on the roofs of an image.
"""

from deepnets4eo.damage.registration.align import assume_registered, register
from deepnets4eo.damage.registration.footprint_offsets import FootprintAlignment
from deepnets4eo.damage.registration.footprints import align_footprints
from deepnets4eo.damage.registration.result import Registration

__all__ = [
    "FootprintAlignment",
    "Registration",
    "align_footprints",
    "assume_registered",
    "register",
]
