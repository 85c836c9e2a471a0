"""Inputs of a finished map, found by its manifest, and the rasters that its page shows over the images, opened again."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from deepnets4eo.damage.evidences.rasters import RasterEvidence
from deepnets4eo.damage.evidences.water import Water
from deepnets4eo.damage.images.clouds import OF_POST, ShownClouds
from deepnets4eo.damage.site.site import ShownRaster
from deepnets4eo.errors import DeepNets4EOError, InputError
from deepnets4eo.files import read_json, sha256
from deepnets4eo.registration import ImagePair

log = logging.getLogger(__name__)


def shown_rasters(folder: Path, water_file: str, pair: ImagePair) -> list[ShownRaster]:
    """Return the clouds, water and scores on the page of a finished map; a warning names each that is gone or another file by now.

    water_file : name of the water that the job found; pair : the images of the map"""
    manifest, summary = read_json(folder / "manifest.json"), read_json(folder / "summary.json")
    inputs, outputs, product, post = manifest["inputs"], manifest["outputs"], folder / water_file, pair.post
    names = [
        name for name in manifest["parameters"].get("evidence", {}) if {f"ev_{name}", f"ev_{name}_0"} & inputs.keys()
    ]

    def clouds() -> ShownRaster | None:
        files = files_of("cloud_mask", inputs, folder)
        is_seen = any(finding["code"] == OF_POST for finding in summary["findings"])
        return ShownClouds.of_map(
            files[0] if len(files) == 1 else files or None, pair, summary["registration"], is_seen=is_seen
        )

    def given_water() -> ShownRaster:
        (file,) = files_of("water", inputs, folder)
        return Water.open_given(file, post.grid)

    def scores(name: str) -> ShownRaster:
        files = files_of(f"ev_{name}", inputs, folder)
        return RasterEvidence(name, files[0] if len(files) == 1 else files).open(post)

    openers: list[Callable[[], ShownRaster | None]] = [
        clouds,
        *([partial(Water.open_product, product, post.grid)] if product.name in outputs else []),
        *([given_water] if "water" in inputs else []),
        *(partial(scores, name) for name in names),
    ]
    rasters: list[ShownRaster] = []
    for opener in openers:
        try:
            raster = opener()
        except DeepNets4EOError as error:
            log.warning("report.html shows one layer less. %s", error)
            continue
        rasters += [] if raster is None else [raster]
    return rasters


def files_of(role: str, inputs: dict[str, Any], folder: Path) -> list[str]:
    """Return the files of an input. Paths from another folder are searched for above the map's folder. Errors: InputError."""
    if role in inputs:  # `ev_change_2` is another evidence then
        return [_file_of(role, inputs[role], folder)]
    named = sorted(
        (int(match[1]), facts) for name, facts in inputs.items() if (match := re.fullmatch(rf"{role}_(\d+)", name))
    )
    return [_file_of(role, facts, folder) for _, facts in named]


def _file_of(role: str, facts: dict[str, Any], folder: Path) -> str:
    paths = [base / facts["path"] for base in (Path(), *folder.resolve().parents)]
    there = [path for path in paths if path.is_file()]
    same = [
        path for path in there
        if facts.get("bytes") in (None, path.stat().st_size) and facts.get("sha256") in (None, sha256(path))
    ]  # fmt: skip
    if not same:
        wrong = "is another file by now" if there else "is not on this machine"
        raise InputError(
            f"{facts['path']}, the {role}{' image' if role in ('pre', 'post') else ''} of this map, {wrong}. Put it back, or fill the sample in QGIS instead."
        )
    return str(same[0])
