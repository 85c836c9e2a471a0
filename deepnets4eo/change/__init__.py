"""Change between dates: networks of two dates, classical methods without training, diffusion along image edges."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "ChangeDetector": "deepnets4eo.change.classical.detector",
    "ChangeMap": "deepnets4eo.change.job",
    "ChangeOptions": "deepnets4eo.change.options",
    "Diffusion": "deepnets4eo.change.diffusion",
    "FCEF": "deepnets4eo.change.networks.fully_convolutional",
    "FCSiamConc": "deepnets4eo.change.networks.fully_convolutional",
    "FCSiamDiff": "deepnets4eo.change.networks.fully_convolutional",
    "FresUNet": "deepnets4eo.change.networks.fresunet",
    "guided_anisotropic_diffusion": "deepnets4eo.change.diffusion",
    "map_change": "deepnets4eo.change.job",
    "refine_scores": "deepnets4eo.change.refinement",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
