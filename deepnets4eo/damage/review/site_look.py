"""The look of a map's buildings, measured once from the post image and kept next to the map, so that answers teach it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from deepnets4eo.arrays import Floats
from deepnets4eo.damage.images.dates import is_radar
from deepnets4eo.damage.network.look import WIDTHS
from deepnets4eo.damage.network.look_model import look_features
from deepnets4eo.damage.review.map_before import table_before
from deepnets4eo.damage.review.map_images import MapImages
from deepnets4eo.damage.site.work import TileWork
from deepnets4eo.errors import DeepNets4EOError, InputError, Reading
from deepnets4eo.files import atomic_write, sha256
from deepnets4eo.footprints import read_table
from deepnets4eo.lazy import check_extra

log = logging.getLogger(__name__)

KEPT, FEATURES, OF_MAP = "look.safetensors", "features", "sha256"


def look_of_map(folder: Path, progress: Callable[[float], None] | None = None) -> Floats | None:
    """Return features (N, 496) of the buildings of a map, NaN for buildings that the post image does not show.

    Parameters
    ----------
    folder : folder of the map, whose manifest names the post image; features are kept there as look.safetensors, 1 kB per building
    progress : called with the share that is measured

    Returns
    -------
    (N, 496) float, or None
        None, with a warning that states the reason, if the image or PyTorch is missing.

    Raises
    ------
    InputError
        The folder contains no damage map.
    """
    table = table_before(folder)
    if not table.is_file():
        raise InputError(f"{table} does not exist. Give the folder that `deepnets4eo damage` wrote.")
    path, of_map = folder / KEPT, sha256(table)
    outlines = read_table(table).geometry.to_numpy()
    kept = _read(path, of_map)
    if kept is not None and kept.shape == (len(outlines), sum(WIDTHS)):
        return kept
    try:
        check_extra("deep")
        post = MapImages.open(folder).layers["post"]
        if is_radar(post):
            raise InputError(f"{post.source} looks like radar (speckle).")
        features = look_features(post, outlines, TileWork(progress=progress)).astype(np.float16)
    except DeepNets4EOError as error:
        log.warning("answers teach without what buildings look like. %s", error)
        return None
    with atomic_write(path) as partial:
        save_file({FEATURES: features}, partial, metadata={OF_MAP: of_map})
    return features.astype(float)


def _read(path: Path, of_map: str) -> Floats | None:
    """Return the features that were kept for the same map; None if there are none, or if they cannot be read."""
    try:
        with Reading(path), safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get(OF_MAP) != of_map:
                return None
            return np.asarray(file.get_tensor(FEATURES), float)
    except InputError:
        return None
