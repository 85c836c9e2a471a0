"""Describes files, datasets and runs, and their problems: the verb `check`."""

from .cloud_network import write_cloud_mask
from .clouds import CloudClassification, cloud_finding, clouds_in_image
from .cubes import bad_bands, describe_negative, measure_bands
from .datasets import inspect_dataset, recognise
from .files import MIN_BANDS, Inspection, inspect, overlaps
from .images import (
    BRIGHT_PERCENTILE,
    DARKEST,
    bright_value,
    check_no_colour_table,
    check_two_images,
    declare_nodata,
    describe_unmasked_band,
    is_grey,
    sample_windows,
    undeclared_nodata,
    without_collar,
)
from .machine import inspect_machine

__all__ = ["CloudClassification", "Inspection", "inspect"]
