"""Registration of two images of one site: what moves is coordinates, the pixels stay.

`register` measures how they lie against each other and how reliable that is; `on_post_grid` shows one as the other does.
`ImagePair` is what jobs open, check and register.
"""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "ImagePair": "deepnets4eo.registration.pair",
    "Registration": "deepnets4eo.registration.result",
    "assume_registered": "deepnets4eo.registration.align",
    "grid_in_pre": "deepnets4eo.registration.pair",
    "on_post_grid": "deepnets4eo.registration.pair",
    "register": "deepnets4eo.registration.align",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
