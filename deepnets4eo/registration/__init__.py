"""Registration of two images of one site: what moves is coordinates, the pixels stay.

`register` measures how they lie against each other and how reliable that is; `on_post_grid` shows one as the other does.
`ImagePair` is what jobs open, check and register.
"""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".pair": "ImagePair grid_in_pre on_post_grid",
        ".result": "Registration",
        ".matchers": "disk_lightglue superpoint",
        ".align": "assume_registered register",
    },
)
