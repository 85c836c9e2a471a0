"""Rasters that the page of a finished map shows over its images, opened again from the folder and its manifest."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from deepnets4eo.damage.evidences.rasters import RasterEvidence
from deepnets4eo.damage.map import DamageMap
from deepnets4eo.damage.review.map_images import files_of, read_json
from deepnets4eo.damage.shown_rasters import ShownWater
from deepnets4eo.damage.site import ShownRaster
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.rasters import Layer

log = logging.getLogger(__name__)


def shown_rasters(folder: Path, post: Layer) -> list[ShownRaster]:
    """Return the water and the scores on the page of the map in a folder; a warning names each raster that is gone or another file by now.

    post : the image after"""
    manifest = read_json(folder / "manifest.json")
    inputs, outputs = manifest["inputs"], manifest["outputs"]
    names = [
        name for name in manifest["parameters"].get("evidence", {}) if {f"ev_{name}", f"ev_{name}_0"} & inputs.keys()
    ]

    def given_water() -> ShownRaster:
        (file,) = files_of("water", inputs, folder)
        return ShownWater.of_file(file, post.grid)

    def scores(name: str) -> ShownRaster:
        files = files_of(f"ev_{name}", inputs, folder)
        return RasterEvidence(name, files[0] if len(files) == 1 else files).open(post)

    openers: list[Callable[[], ShownRaster]] = [
        *(
            [partial(ShownWater.of_product, folder / DamageMap.water_file, post.grid)]
            if DamageMap.water_file in outputs
            else []
        ),
        *([given_water] if "water" in inputs else []),
        *(partial(scores, name) for name in names),
    ]
    rasters = []
    for opener in openers:
        try:
            rasters.append(opener())
        except DeepNets4EOError as error:
            log.warning("report.html shows one layer less. %s", error)
    return rasters
