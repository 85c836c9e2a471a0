"""The images of a damage map, reopened from the paths in its manifest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepnets4eo.damage.map import DamageMap
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import UNMOVED, ImagePair, on_post_grid


@dataclass(frozen=True)
class MapImages:
    """Images in colour on the grid of the image after, and the map's information about them.

    Parameters
    ----------
    layers : pre, if the map has one, and post
    event : name, place and dates
    synthetic : whether the place is synthetic
    aligned : whether the pre image is aligned with the post image
    """

    layers: dict[str, Layer]
    event: dict[str, Any]
    synthetic: bool
    aligned: bool

    @classmethod
    def open(cls, folder: Path) -> MapImages:
        """Open the images of a map in a folder. Errors: InputError for images that are gone, or others."""
        manifest, summary = (_read_json(folder / name) for name in ("manifest.json", "summary.json"))
        registration = summary.get("registration", {})
        pair = open_images(folder)
        layers = (
            {}
            if pair.pre is None
            else {"pre": on_post_grid(pair.pre, pair.post.grid, registration.get("matrix", UNMOVED))}
        )
        layers["post"] = pair.post
        return cls(
            {role: layer.subset(layer.shown_bands) for role, layer in layers.items()},
            manifest["event"], bool(manifest["synthetic"]), registration.get("status") != "failed",
        )  # fmt: skip


def open_images(folder: Path) -> ImagePair:
    """Open the images of a map in a folder as they are, not registered. Errors: InputError for images that are gone, or others."""
    manifest = _read_json(folder / "manifest.json")
    pre, post = (DamageMap.input_files(role, manifest["inputs"], folder) for role in ("pre", "post"))
    if not post:
        raise InputError(f"{folder / 'manifest.json'} names no image after the event. Fill the sample in QGIS.")
    pair = ImagePair.open(pre or None, post, gsd_m=manifest["parameters"].get("gsd_m"), as_shown=True)
    return pair.pair_by_pixels().declare_nodata("pre").declare_nodata("post")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read: {error}. It comes with the map; give the folder that `deepnets4eo damage` wrote."
        ) from error
