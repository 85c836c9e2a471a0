"""Change between dates: networks of two dates, classical methods without training, diffusion along image edges."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "CoverComparison": "deepnets4eo.change.strategies",
    "FCEF": "deepnets4eo.change.networks.fully_convolutional",
    "FCSiamConc": "deepnets4eo.change.networks.fully_convolutional",
    "FCSiamDiff": "deepnets4eo.change.networks.fully_convolutional",
    "FresUNet": "deepnets4eo.change.networks.fresunet",
    "Transitions": "deepnets4eo.change.transitions",
    "adjust_transitions": "deepnets4eo.change.transitions",
    "from_to_legend": "deepnets4eo.change.transitions",
    "measure_transitions": "deepnets4eo.change.transitions",
    "merge_labels": "deepnets4eo.change.cleansing",
    "split_from_to": "deepnets4eo.change.transitions",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
