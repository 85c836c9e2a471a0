"""Change between dates: networks of two dates, classical methods without training, diffusion along image edges."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "FCEF": "deepnets4eo.change.networks.fully_convolutional",
    "FCSiamConc": "deepnets4eo.change.networks.fully_convolutional",
    "FCSiamDiff": "deepnets4eo.change.networks.fully_convolutional",
    "FresUNet": "deepnets4eo.change.networks.fresunet",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
