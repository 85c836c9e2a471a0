"""What two images show of a pair before any long work: whether they are two, and images at all.

Takes opened layers; looks at a few windows of each. Refuses one image given twice, and numbers of colours.
"""

from __future__ import annotations

from pathlib import Path

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.rasters.sources import same_grid
from deepnets4eo.tiling.spread import spread_windows

WINDOW_PX, WINDOWS = 256, 4  # side of a window, and how many along each side of the image
SHOWN_CHANGE = 0.002  # share of the values that must differ between two images


def sample_windows(shape: tuple[int, int]) -> list[Window]:
    """Windows spread over an image of (h, w) pixels."""
    return spread_windows(shape, (WINDOW_PX, WINDOW_PX), WINDOWS)


def check_no_colour_table(image: Layer, role: str) -> None:
    """Refuse an image whose numbers stand for colours.

    Parameters
    ----------
    image
        The image.
    role
        "pre", "post" or its date, for the message.

    Raises
    ------
    InputError
        It has a colour table.
    """
    if image.colour_roles == ["palette"]:
        raise InputError(
            f"the {role} image {image.source} has a colour table: its numbers are no brightness. Write its colours: "
            f"gdal_translate -expand rgb {image.source} rgb.tif"
        )


def check_two_images(pre: Layer, post: Layer, otherwise: str = "") -> None:
    """Refuse one image given twice: the same files, or the same values on one grid.

    Parameters
    ----------
    pre, post
        The two images.
    otherwise
        What else the user can do, for the message.

    Raises
    ------
    InputError
        They are one image.
    """
    files = [{str(Path(path).resolve()) for path in layer.paths} for layer in (pre, post)]
    one_file = bool(files[0]) and files[0] == files[1] and pre.bands == post.bands
    if one_file or (same_grid(pre.grid, post.grid) and _same_values(pre, post)):
        raise InputError(
            f"PRE ({pre.source}) and POST ({post.source}) are one image: nothing can have changed between them. Give two "
            f"images of two dates{', ' + otherwise if otherwise else ''}."
        )


def _same_values(pre: Layer, post: Layer) -> bool:
    """Whether two layers on one grid show the same values in all windows looked at, and some values at all."""
    if pre.count != post.count:
        return False
    differing, seen = 0, 0
    for window in sample_windows(post.shape):
        (first, valid), (second, also) = pre.read(window), post.read(window)
        both = valid & also
        differing += int((first[:, both] != second[:, both]).sum())
        seen += first.shape[0] * int(both.sum())
    return seen > 0 and differing <= SHOWN_CHANGE * seen
