"""Describes files, datasets and runs, and their problems: the verb `check`."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .cloud_network import write_cloud_mask
    from .clouds import CloudClassification as CloudClassification, cloud_finding, clouds_in_image
    from .cubes import bad_bands, describe_negative, measure_bands
    from .datasets import inspect_dataset, recognise
    from .files import MIN_BANDS, Inspection as Inspection, inspect as inspect
    from .machine import inspect_machine
    from .overlap import overlaps
    from .shadows import bands_in_colour, shadows_in_image
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".clouds": ["CloudClassification"],
            ".files": ["Inspection", "inspect"],
        },
        internal={
            ".cloud_network": ["write_cloud_mask"],
            ".clouds": ["cloud_finding", "clouds_in_image"],
            ".cubes": ["bad_bands", "describe_negative", "measure_bands"],
            ".datasets": ["inspect_dataset", "recognise"],
            ".files": ["MIN_BANDS"],
            ".machine": ["inspect_machine"],
            ".overlap": ["overlaps"],
            ".shadows": ["bands_in_colour", "shadows_in_image"],
        },
    )
