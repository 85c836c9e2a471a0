"""The network that comes with the toolbox: found and opened, and whether images are such as it learnt from.

Takes nothing, then opened images; returns a grader, or one line why there is none. Refuses nothing: without it, the
weight-free model decides alone.
"""

from __future__ import annotations

import re
from pathlib import Path

from deepnets4eo.cards.catalog import model_path, recipes
from deepnets4eo.damage.colour_choice import in_colour
from deepnets4eo.damage.network.grader import NetworkGrader, is_run
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.grid import mean_gsd_m
from deepnets4eo.inspection.images import DARKEST, bright_value, is_grey
from deepnets4eo.lazy import check_extra
from deepnets4eo.outputs.findings import Finding
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.segmenters.any_size import COARSEST_M, FINEST_M
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.stretch import needed_stretch, show

NAME = "damage-network"
GSD_FACTOR = 3.0  # from the pixels of the training to the coarsest ones
MOST_OFF_NADIR_DEG = 30.0  # of the sensors that it learnt from
BANDS = 3
OFF_NADIR = re.compile(r"OFF_?NADIR|VIEW_?ANGLE|INCIDENCE_?FROM_?NADIR")


def shipped_folder() -> Path | None:
    """Return the folder of the network's run; None where this copy of the toolbox comes without its weights."""
    if NAME not in recipes():
        return None
    folder = model_path(NAME)
    return folder if is_run(folder) else None


def open_shipped() -> tuple[NetworkGrader | None, Finding | None]:
    """Open the network, in the fastest precision of this machine.

    Returns
    -------
    The grader and no finding; no grader and the finding that says why; or neither, where there are no weights at all.
    """
    folder = shipped_folder()
    if folder is None:
        return None, None
    try:
        check_extra("deep")
        return NetworkGrader.load(folder, precision="auto", gsd_factor=GSD_FACTOR), None
    except (InputError, RunError) as error:
        return None, not_used(str(error))


def not_used(reason: str) -> Finding:
    """Return the finding that the network did not take part; `reason` is a sentence, or the start of one."""
    return Finding(
        "network_not_used",
        "note",
        f"The network was not used: {reason.rstrip('.')}. The weight-free model decided alone.",
    )


def pre_not_read(reason: str) -> Finding:
    """Return the finding that the network grades from the post image alone, because it does not know such a pre image."""
    return Finding(
        "pre_not_read",
        "note",
        f"Every building was assessed from the post image alone, because of what the network can read: {reason}. With the "
        "network, that is more often right than both images without it. The pre image was used to align the footprints.",
        "Give a pre image that the network knows, or --set network=no to compare the images without it.",
    )


def why_unfit(grader: NetworkGrader, role: str, layer: Layer | None) -> str:
    """Return why the network does not read an image; '' where it does, and without an image. Reads a few windows.

    Parameters
    ----------
    grader
        The network.
    role
        "pre" or "post".
    layer
        The image; None for the pre image of a job on post alone.
    """
    reason = "" if layer is None else _why_unfit(grader, role, layer)
    return reason and f"the {role} image {reason}"


def _why_unfit(grader: NetworkGrader, role: str, layer: Layer) -> str:
    if layer.count < BANDS:
        return f"has {layer.count} band{'s' * (layer.count > 1)}, it learnt from red, green and blue"
    size_m = mean_gsd_m(layer.grid) if layer.grid.crs is not None else None
    if size_m is not None and not FINEST_M <= size_m <= COARSEST_M:
        return f"has pixels of {size_m:.2g} m, it knows {FINEST_M:g} to {COARSEST_M:g} m"
    angle_deg = off_nadir_deg(layer)
    if angle_deg is not None and angle_deg > MOST_OFF_NADIR_DEG:
        return f"was taken {angle_deg:.0f} degrees off nadir, it knows up to {MOST_OFF_NADIR_DEG:g}"
    colours, expected = in_colour(layer), grader.run.inputs.layers[role]
    stretch = needed_stretch(expected, colours)
    colours = show(colours, stretch)
    if problems := InputSpec({role: expected}).problems(Scene({role: colours}, layer.grid)):
        return f"does not fit: {'; '.join(problems)}"
    if is_grey(colours):
        return "is grey, three bands with the same values; it learnt from red, green and blue"
    bright = bright_value(colours) if layer.dtype.itemsize == 1 else None
    if bright is not None and bright < DARKEST:
        return f"is as dark as by night: 95 % of its values are below {bright:.0f} of 255"
    return ""


def off_nadir_deg(layer: Layer) -> float | None:
    """Return the angle off nadir, degrees, that an image's tags hold; None without such a tag.

    Parameters
    ----------
    layer
        With the tags of its file.
    """
    for name, text in layer.tags.items():
        if OFF_NADIR.search(name.upper()):
            try:
                return abs(float(text))
            except ValueError:
                continue
    return None
