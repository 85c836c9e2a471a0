"""Complex images, read by windows: one band of complex numbers, or two bands of their real and imaginary parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rasterio.windows import Window as RasterioWindow

from deepnets4eo.arrays import Spectrum
from deepnets4eo.errors import InputError
from deepnets4eo.formats import READ_ERRORS, open_raster
from deepnets4eo.grid import Grid, Window
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import IMAGE, Door

LOOK_PX = 512  # side of the middle of an image in two bands that is looked at
MIN_SHARE_OF_SIGN = 0.25  # share of its values on either side of 0
PARTS = 2  # bands of a complex image that is stored as its real and its imaginary part


class ComplexImage:
    """A complex raster file on its own pixels; what it does not have is 0.

    Raises InputError for files that have no phase, several bands, or only ground control points.
    """

    def __init__(self, source: str | Path) -> None:
        layer = IMAGE.check(Layer.open(source, power=True), Door("the image")).layer
        self.name, self._layer = layer.source, layer
        self._dataset = open_raster(source) if layer.declared.is_complex else None
        if self._dataset is not None and self._dataset.gcps[0]:
            raise InputError(
                f"{self.name} has only ground control points; warping by them would break its phase. Coregister both images, e.g. with SNAP "
                "or ISCE, or drop the points from both: gdal_translate -nogcp IN OUT.tif"
            )
        is_single = self._dataset is not None
        if layer.count != (1 if is_single else PARTS) or not (is_single or self._has_both_signs()):
            raise InputError(
                f"{self.name} has {layer.count} bands of {layer.dtype}, expected one band of complex numbers or two bands, the real and the "
                "imaginary part, which are as often below as above 0. Extract one polarisation of the single-look complex product, e.g. by "
                "gdal_translate -b 1; intensities (GRD) have no phase."
            )

    @property
    def grid(self) -> Grid:
        """Shape, affine and CRS."""
        return self._layer.grid

    @property
    def synthetic(self) -> bool:
        """Return whether the file is marked as synthetic."""
        return self._layer.synthetic

    def read(self, window: Window) -> Spectrum:
        """Return values (h, w) of a window, 0 beyond the image and without data. Raises InputError if the file is damaged."""
        values = np.zeros((window.height, window.width), np.complex64)
        inside = window.clip(self._layer.shape)
        if inside.height and inside.width:
            parts, valid = self._layer.read(inside)
            at = inside.within(window).slices
            values[at] = np.where(
                valid, parts[0] + 1j * parts[-1] if self._dataset is None else self._complex(inside), 0
            )
        return values

    def _has_both_signs(self) -> bool:
        """Return whether the middle of the image is as often below as above 0, as parts of complex numbers are and intensities never."""
        height, width = self._layer.shape
        values, valid = self._layer.read(
            Window(height // 2 - LOOK_PX // 2, width // 2 - LOOK_PX // 2, LOOK_PX, LOOK_PX)
        )
        known = [part[valid & (part != 0)] for part in values]
        return all(part.size and MIN_SHARE_OF_SIGN < (part < 0).mean() < 1 - MIN_SHARE_OF_SIGN for part in known)

    def _complex(self, window: Window) -> Spectrum:
        assert self._dataset is not None
        try:
            part = RasterioWindow(window.col, window.row, window.width, window.height)
            return np.asarray(self._dataset.read(1, window=part), np.complex64)
        except READ_ERRORS as error:
            raise InputError.of_reading(self.name, f" at rows {window.row}–{window.row + window.height}") from error
