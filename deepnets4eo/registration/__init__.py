"""Registration of two images of one site: what moves is coordinates, the pixels stay.

`register` measures how they lie against each other and how reliable that is.
"""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Registration": "deepnets4eo.registration.result",
    "assume_registered": "deepnets4eo.registration.align",
    "register": "deepnets4eo.registration.align",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
