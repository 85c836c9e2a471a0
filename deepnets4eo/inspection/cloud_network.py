"""Clouds and their shadows in images of Sentinel-2 and Landsat, classified by the networks of ukis-csmask (DLR, Apache-2.0).

The package is an extra (`clouds`, 145 MB). Without it, or without blue, green, red and near infrared in reflectance,
there is no mask, and callers fall back on brightness.

Source: Wieland, Fichtner and Martinis (2022), UKIS-CSMASK, ISPRS Archives XLIII-B3, 217–222.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid
from deepnets4eo.jobs import new_output
from deepnets4eo.lazy import check_extra, is_installed, name_missing_extra
from deepnets4eo.outputs import check_not_inputs
from deepnets4eo.rasters import ArraySource, CogWriter, Layer, LayerLike
from deepnets4eo.read_as import IMAGE, Door
from deepnets4eo.tiling import Lattice, Tiling, mirror_window

PACKAGE = "ukis_csmask"
ROLES = ("blue", "green", "red", "nir")
CLOUD, SHADOW, NODATA = 1, 2, 255  # values of a mask, as the networks number their classes; 0 is clear


@dataclass(frozen=True)
class CloudNetworkOptions:
    """Numbers of the cloud classification.

    Parameters
    ----------
    cell_m : ground size of the cells that are classified. The authors recommend some 30 m. At 10 m the network of
        six bands called 70–94 % of three Sentinel-2 dates with at most 16 % of cloud shadow, the network of four bands 43 % of one; at 20 m four
        bands called at most 1 % (Lahinch), with the same IoU of cloud but for the date under 67 % of cloud (0.60 at 10 m, 0.54 at 20 m).
    min_gsd_m, max_gsd_m : ground size of images that are classified
    halo_px : border of a tile whose classes are not kept
    max_reflectance : 99th percentile of reflectance above which values are not reflectance. Clouds reach 1 to 1.5.
    quantification : integers per reflectance of 1, of Sentinel-2's products
    """

    cell_m: float = 20.0
    min_gsd_m: float = 8.0
    max_gsd_m: float = 60.0
    halo_px: int = 32
    max_reflectance: float = 2.0
    quantification: float = 10_000.0


class CloudClasses(ArraySource):
    """A mask of clouds (1) and their shadows (2) from a network, on a grid of coarse cells."""

    def __init__(self, classes: NDArray[np.uint8], grid: Grid) -> None:
        super().__init__(classes, grid, None)
        self.cloud_share = float((classes == CLOUD).mean())
        self.shadow_share = float((classes == SHADOW).mean())

    @property
    def hides_any(self) -> bool:
        """Return True if any cell is cloud or shadow."""
        return self.cloud_share + self.shadow_share > 0


def classify_clouds(image: Layer, options: CloudNetworkOptions = CloudNetworkOptions()) -> CloudClasses | None:
    """Classify the clouds and shadows of a multispectral image.

    Parameters
    ----------
    image : bands blue, green, red and near infrared of Sentinel-2 or Landsat, as reflectance or integers of 1 / 10,000
    options : numbers of the classification

    Returns
    -------
    CloudClasses or None
        0 clear, 1 cloud, 2 shadow, in cells of 20 m or more. None if the bands, ground size or values of the image do not
        suit the networks, or if the extra `clouds` is not installed.
    """
    cells = _cells(image, options)
    unit = None if cells is None else _unit_of_reflectance(cells, options)
    if cells is None or unit is None:
        return None
    network = CloudNetwork.load(is_surface_reflectance(image))
    return CloudClasses(_classify(cells, unit, network, options), cells.grid)


def _cells(image: Layer, options: CloudNetworkOptions) -> Layer | None:
    """Return the four bands of an image in cells of `cell_m` or more; None if its bands or ground size do not suit."""
    if not is_installed(PACKAGE) or image.grid.crs is None:
        return None
    roles, gsd_m = image.sensor.roles, image.gsd_m
    if not set(ROLES) <= roles.keys() or not options.min_gsd_m <= gsd_m <= options.max_gsd_m:
        return None
    scale = max(1.0, options.cell_m / gsd_m)
    shape = (max(1, round(image.shape[0] / scale)), max(1, round(image.shape[1] / scale)))
    return image.subset([roles[role] for role in ROLES]).on(image.grid.zoom_to(shape), "average")


def is_surface_reflectance(image: Layer) -> bool:
    """Return True if names or tags of an image state that the atmosphere is corrected: level 2 of Sentinel-2 or Landsat."""
    words = " ".join([Path(image.declared.source).name, *image.declared.tags.values(), *image.band_names])
    return re.search(r"L2A|L2SP|L2SR|BOA|(?<![A-Za-z])SR(?![A-Za-z])|surface.reflectance", words) is not None


def _unit_of_reflectance(cells: Layer, options: CloudNetworkOptions) -> float | None:
    """Return what values are divided by to be reflectance; None if they are none by their 99th percentile."""
    values, valid, _ = cells.thumbnail(256)
    if not valid.any() or cells.dtype == np.uint8:
        return None
    top = float(np.percentile(values[:, valid], 99))
    for unit in (1.0, options.quantification):
        if 0 < top / unit <= options.max_reflectance:
            return unit
    return None


def write_cloud_mask(
    image: LayerLike, out: str | Path, *, overwrite: bool = False, progress: Callable[[float], None] | None = None
) -> CloudClasses:
    """Write the clouds and shadows of a Sentinel-2 or Landsat image as a mask on the image's grid.

    Parameters
    ----------
    image : see `classify_clouds`
    out : the file to write, uint8: 0 clear, 1 cloud, 2 shadow, 255 no data
    overwrite : whether an existing file is replaced
    progress : called with the share done, 0–1

    Returns
    -------
    CloudClasses
        The classified cells, with the shares of clouds and shadows.

    Raises
    ------
    MissingExtraError
        If the extra `clouds` is not installed.
    InputError
        If the image has not the bands, ground size or values that the networks need.
    OutputError
        If `out` exists and `overwrite` is not set.
    """
    check_extra("clouds")
    layer = IMAGE.check(Layer.open(image), Door("the image")).report()
    check_not_inputs([out], [image])
    classes = classify_clouds(layer)
    if classes is None:
        raise InputError(
            f"{layer.source} has the bands {', '.join(layer.band_names)}; expected {', '.join(ROLES)} of Sentinel-2 or Landsat, as reflectance "
            "or integers of 1/10,000, with pixels of 8 to 60 m and a CRS. Name the bands, e.g. with gdal_edit.py, or give the whole product."
        )
    with new_output(out, overwrite=overwrite):
        _write_on(layer, Layer(classes).on(layer.grid, "nearest"), Path(out), progress)
    return classes


def _write_on(layer: Layer, mask: Layer, out: Path, progress: Callable[[float], None] | None) -> None:
    """Write a mask block by block; 255 where its image, on the same grid, is not valid."""
    windows = layer.blocks()
    with CogWriter(
        out, layer.grid, nodata=NODATA, categorical=True, band_names=("cloud_mask",),
        tags={"CLASSES": "0 clear, 1 cloud, 2 shadow"},
    ) as cog:  # fmt: skip
        for number, window in enumerate(windows, start=1):
            valid = layer.read(window)[1]
            cog.write(window, np.where(valid, mask.read(window)[0][0], NODATA).astype(np.uint8)[None])
            if progress is not None:
                progress(number / len(windows))


@dataclass(frozen=True)
class CloudNetwork:
    """One network of the package, in a session of ONNX Runtime.

    Parameters
    ----------
    session : takes (N, 4, side_px, side_px), gives logits (N, 3, side_px, side_px)
    mean, std : (4, 1, 1) of the reflectance that the network was trained on
    side_px : side of its tiles
    """

    session: Any
    mean: FloatImage
    std: FloatImage
    side_px: int

    @staticmethod
    @lru_cache(maxsize=1)
    @name_missing_extra()
    def load(surface_reflectance: bool) -> CloudNetwork:
        """Load the network of four bands for surface or top-of-atmosphere reflectance. Raises MissingExtraError."""
        import onnxruntime
        import ukis_csmask

        path = Path(ukis_csmask.__file__).with_name(f"model_4b_{'l2a' if surface_reflectance else 'l1c'}.onnx")
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["data"]
        statistics = facts["dataset_statistics"]
        order = [[name.casefold() for name in statistics["band_names"]].index(role) for role in ROLES]
        mean, std = (np.array(part, np.float32)[order][:, None, None] for part in statistics["img"])
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return CloudNetwork(session, mean, std, int(facts["target_size"][0]))

    def logits(self, reflectance: FloatImage) -> FloatImage:
        """Return the logits (3, side_px, side_px) of clear, cloud and shadow of one tile (4, side_px, side_px)."""
        name = self.session.get_inputs()[0].name
        values = self.session.run(None, {name: ((reflectance - self.mean) / self.std)[None].astype(np.float32)})
        return np.asarray(values[0][0])


def _classify(cells: Layer, unit: float, network: CloudNetwork, options: CloudNetworkOptions) -> NDArray[np.uint8]:
    """Return the class (h, w) of each cell, tile by tile; 0 where the image is not valid."""
    classes = np.zeros(cells.shape, np.uint8)
    for tile in Lattice(cells.shape, Tiling(network.side_px, options.halo_px)).tiles:
        inside, core = tile.window.clip(cells.shape), tile.core.clip(cells.shape)
        values, valid = cells.read(inside)
        if not valid.any():
            continue
        tile_values = mirror_window(np.where(valid, values, 0) / unit, tile.window.within(inside))
        best = network.logits(tile_values).argmax(axis=0).astype(np.uint8)[core.within(tile.window).slices]
        classes[core.slices] = np.where(valid[core.within(inside).slices], best, 0)
    return classes
