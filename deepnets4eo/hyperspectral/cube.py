"""A hyperspectral cube: a layer of many bands, maybe with wavelengths, and its bands that serve no purpose.

Bands count from 1, as in the source, whichever of them a cube holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.addresses import file_name_of
from deepnets4eo.display import FigureStyle, Summary, WithSummary, draw_image, grid_facts, make_axes, stretch
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.inspection import bad_bands, measure_bands
from deepnets4eo.rasters import COLOURS_NM, Layer, LayerLike, nearest_indices
from deepnets4eo.read_as import IMAGE, Door

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Cube(WithSummary):
    """Bands of one site, read by window.

    Parameters
    ----------
    layer : the bands
    wavelengths_nm : (B,) centres in nanometres, by default those that the file lists

    Raises
    ------
    InputError
        For another number of wavelengths than bands, or wavelengths that are not above 0.

    Examples
    --------
    >>> cube = Cube.open(np.zeros((3, 4, 5), np.float32), wavelengths_nm=[450, 550, 650])
    >>> cube.shape, cube.nearest_bands([640]), cube.without_bands([2]).bands
    ((3, 4, 5), [3], [1, 3])
    """

    def __init__(self, layer: Layer, wavelengths_nm: Sequence[float] | NDArray[Any] | None = None) -> None:
        self.layer = layer
        self.wavelengths_nm = layer.wavelengths_nm
        if wavelengths_nm is not None:
            self.wavelengths_nm = np.asarray(wavelengths_nm, np.float64).ravel()
            _check_wavelengths(self.wavelengths_nm, layer)

    @classmethod
    def open(
        cls,
        source: LayerLike,
        wavelengths_nm: Sequence[float] | NDArray[Any] | None = None,
        *,
        nodata: float | None = None,
    ) -> Cube:
        """Open what `Layer.open` takes: a file (`FILE.mat#NAME` for one array of several), folder, list of tiles or array;
        `FOLDER#bands` for a folder of files of one band each.

        nodata : replaces the file's own
        """
        layer = IMAGE.open(source, Door("the cube", on_ground=False), nodata=nodata)
        return cls(layer, wavelengths_nm)

    @classmethod
    def stack(cls, files: Sequence[str | Path], wavelengths_nm: Sequence[float] | NDArray[Any] | None = None) -> Cube:
        """Open rasters of one size, georeference and type as bands, in this order."""
        return cls(Layer.stack(files), wavelengths_nm)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (B, H, W)."""
        return self.layer.count, *self.layer.shape

    @property
    def bands(self) -> list[int]:
        """Numbers of the bands."""
        return self.layer.bands

    def read(self, window: Window | None = None) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read a window, by default all: (B, h, w) values in the type of the file, and (h, w) bool, True where valid."""
        return self.layer.read(window)

    def subset(self, bands: Iterable[int]) -> Cube:
        """Return the cube with only these bands. Errors: InputError for bands that it lacks."""
        chosen = list(bands)
        self._check_bands(chosen)
        cube = Cube(self.layer.subset(chosen))
        if self.wavelengths_nm is not None:
            cube.wavelengths_nm = self.wavelengths_nm[[self.bands.index(band) for band in chosen]]
        return cube

    def without_bands(self, bands: Iterable[int]) -> Cube:
        """Return the cube without these bands. Errors: InputError for bands that it lacks, or if no band remains."""
        removed = list(bands)
        if removed:
            self._check_bands(removed)
        return self.subset(band for band in self.bands if band not in set(removed))

    def nearest_bands(self, wavelengths_nm: Iterable[float]) -> list[int]:
        """Return the bands nearest to each wavelength in nanometres. Errors: InputError without wavelengths."""
        return [self.bands[index] for index in nearest_indices(self._known_wavelengths(), wavelengths_nm)]

    def bands_between(self, low_nm: float, high_nm: float) -> list[int]:
        """Return the bands with centres from low to high. Errors: InputError without wavelengths."""
        centres = self._known_wavelengths()
        return [band for band, nm in zip(self.bands, centres, strict=True) if low_nm <= nm <= high_nm]

    def false_colour(
        self,
        wavelengths_nm: Sequence[float] = COLOURS_NM,
        *,
        bands: Sequence[int] | None = None,
        max_px: int = FigureStyle.max_px,
    ) -> NDArray[np.uint8]:
        """Return three bands as red, green and blue, (3, h, w) uint8, stretched from the 2nd to the 98th percentile;
        black where not valid.

        The bands nearest to the wavelengths are taken, or `bands` by number.

        max_px : longer side; larger cubes are averaged down

        Errors: InputError for other than three bands, and without wavelengths and bands.
        """
        layer, rgba = self._composite(wavelengths_nm, bands, max_px)
        return np.ascontiguousarray(rgba[..., :3].transpose(2, 0, 1))

    def plot(
        self,
        axes: Axes | None = None,
        *,
        wavelengths_nm: Sequence[float] = COLOURS_NM,
        bands: Sequence[int] | None = None,
        max_px: int = FigureStyle.max_px,
    ) -> Axes:
        """Draw the cube in false colours, see `false_colour`; return the Axes, by default the Axes of a new figure."""
        grid, rgba = self._composite(wavelengths_nm, bands, max_px)
        return draw_image(make_axes(axes), rgba, grid, file_name_of(self.layer.source))

    def _composite(self, wavelengths_nm: Sequence[float], bands: Sequence[int] | None, max_px: int) -> tuple[Any, Any]:
        """Return the coarse grid, and the composite (h, w, 4) uint8."""
        chosen = list(bands) if bands is not None else self.nearest_bands(wavelengths_nm)
        if len(chosen) != 3:
            raise InputError(f"{len(chosen)} bands were given ({chosen}), expected three: red, green and blue.")
        data, valid, grid = self.subset(chosen).layer.thumbnail(max_px)
        return grid, stretch(data, valid)

    def _known_wavelengths(self) -> NDArray[np.float64]:
        """Return the wavelengths (B,) in nanometres. Errors: InputError without wavelengths."""
        if self.wavelengths_nm is None:
            raise InputError(
                f"{self.layer.source} lists no wavelengths of its bands. Give them: Cube.open(…, wavelengths_nm=[…]), "
                "or choose bands by number."
            )
        return self.wavelengths_nm

    def _check_bands(self, bands: Sequence[int]) -> None:
        unknown = [band for band in bands if band not in set(self.bands)]
        if unknown or not bands:
            raise InputError(
                f"{self.layer.source} has {len(self.bands)} bands, {self.bands[0]}–{self.bands[-1]}, not {unknown or 'none'}. "
                "Bands count from 1."
            )

    def _summary(self) -> Summary:
        facts = {"bands": f"{self.layer.count} of {self.layer.dtype}"}
        if self.wavelengths_nm is not None:
            low, high = np.nanmin(self.wavelengths_nm), np.nanmax(self.wavelengths_nm)
            facts["wavelengths"] = f"{low:.0f}–{high:.0f} nm"
        grid = grid_facts(self.layer.grid)
        return Summary(f"Cube {self.layer.source}", {"size": grid.pop("size"), **facts, **grid})


def _check_wavelengths(wavelengths_nm: NDArray[np.float64], layer: Layer) -> None:
    if len(wavelengths_nm) != layer.count:
        raise InputError(
            f"{layer.source} has {layer.count} bands, but {len(wavelengths_nm)} wavelengths were given. Give one a band."
        )
    if not (wavelengths_nm > 0).all():
        raise InputError(f"wavelengths of {layer.source} are not all above 0. Give them in nanometres.")


def find_bad_bands(cube: Cube) -> dict[int, str]:
    """Find bands that serve no purpose, from at most 16 windows.

    A band is bad if it is empty or constant, if an ENVI header calls it bad (bbl), or if it is in 1350–1430 or
    1800–1950 nm, where water vapour absorbs.

    A band is also bad if it is mostly noise: neighbouring pixels correlate by less than 0.3. On AVIRIS scenes these are
    the bands usually removed, and a few more.

    Parameters
    ----------
    cube : the cube

    Returns
    -------
    dict of int to str
        Band number (1-based, of the source) → "empty", "constant", "water vapour", "noise" or "called bad by the
        header".

    Examples
    --------
    >>> smooth = np.add.outer(np.arange(20.0), np.arange(20.0))
    >>> find_bad_bands(Cube.open(np.stack([smooth, smooth * 0 + 3])))
    {2: 'constant'}
    """
    return bad_bands(cube.layer, measure_bands(cube.layer, cube.wavelengths_nm))


def remove_bad_bands(cube: Cube) -> Cube:
    """Leave out the bands that `find_bad_bands` finds.

    Parameters
    ----------
    cube : the cube

    Returns
    -------
    Cube

    Raises
    ------
    InputError
        Where no band would be left.
    """
    bad = find_bad_bands(cube)
    if len(bad) == len(cube.bands):
        raise InputError(
            f"every band of {cube.layer.source} is empty, constant or noise, or called bad by the header. Check the file and its nodata value."
        )
    return cube.without_bands(bad) if bad else cube
