"""A raster of bands on a grid, read by window: a file, a mosaic of tiles, a URL, an array, or one of a file of arrays.

Returns physical values (see `values`) and what is valid. Refuses what is no raster, or cannot be resampled to a grid.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from deepnets4eo.addresses import file_name_of
from deepnets4eo.arrays import Floats, Mask, Pixels
from deepnets4eo.cards import EmbeddingCard, Legend
from deepnets4eo.display import FigureStyle, Summary, WithSummary
from deepnets4eo.errors import GridError, InputError, check_choice
from deepnets4eo.formats import Asset, Declared, StoredValues, colour_table
from deepnets4eo.grid import (
    Grid,
    Window,
    coarse_grid,
    only_one_placed,
    overlap_share,
    whole,
)
from deepnets4eo.rasters.acquisition import named_day, stated_day, written_day
from deepnets4eo.rasters.array_source import ArraySource, Source, check_axes
from deepnets4eo.rasters.band_roles import band_keys, colour_positions
from deepnets4eo.rasters.display import declared_colours, layer_summary, plot_layer, shown_bands
from deepnets4eo.rasters.legend_notes import hidden_class, other_legend_note
from deepnets4eo.rasters.longitudes import turned_towards
from deepnets4eo.rasters.on_grid import OnGrid
from deepnets4eo.rasters.opening import open_files, open_stack
from deepnets4eo.rasters.plane_crs import NO_POSITION, PLAIN_METRES, counts_pixels, is_placed
from deepnets4eo.rasters.readers import OpenRequest, open_asset, open_source
from deepnets4eo.rasters.sensor import Sensor
from deepnets4eo.rasters.values import common_nodata, physical_dtype, to_physical
from deepnets4eo.rasters.warped_source import WarpedSource, same_grid, with_declared, with_grid
from deepnets4eo.rasters.xarray_sources import is_data_array, source_of

if TYPE_CHECKING:
    import pyproj
    import xarray
    from matplotlib.axes import Axes

log = logging.getLogger(__name__)

HONOURED = frozenset({"orientation", "pages", "values"})  # of what a source states of itself
RESAMPLINGS = ("nearest", "bilinear", "cubic", "average")

LayerLike: TypeAlias = "Layer | Asset | str | Path | Sequence[str | Path] | NDArray[Any] | xarray.DataArray"


class Layer(OnGrid, WithSummary):
    """One raster of bands on a grid, read by window; thread-safe.

    Make one with `Layer.open`. Values are physical: floating point where the file states a scale or an offset, else of
    the raster's own type.

    Nodata, alpha, internal masks, NaN, infinite values and everything beyond the edge are not valid. Errors: InputError
    (bands that the source does not have).

    Parameters
    ----------
    source : what is read from
    bands : 1-based, by default all but alpha
    as_stored : whether numbers are read as they are stored, whatever scale and offset the file states

    >>> import numpy as np
    >>> layer = Layer.open(np.arange(12, dtype="uint8").reshape(3, 4))
    >>> data, valid = layer.read(Window(1, 2, 2, 3))
    >>> data[0].tolist(), valid.tolist()
    ([[6, 7, 0], [10, 11, 0]], [[True, True, False], [True, True, False]])
    """

    def __init__(self, source: Source, bands: Sequence[int] | None = None, *, as_stored: bool = False) -> None:
        self._source, self._as_stored = source, as_stored
        self._bands = list(bands) if bands is not None else list(source.bands)
        unknown = [band for band in self._bands if band not in source.bands]
        if unknown:
            raise InputError(
                f"{source.name} has bands {source.bands[0]}–{source.bands[-1]}, not {unknown}. Bands count from 1."
            )

    @classmethod
    def open(
        cls,
        source: LayerLike,
        *,
        bands: Sequence[int] | None = None,
        nodata: float | None = None,
        grid: Grid | None = None,
        labels: bool = False,
        power: bool = False,
    ) -> Layer:
        """Open a raster, a mosaic (list, folder or glob of tiles), an array, or an array of a file of arrays.

        Errors: InputError (a missing, unreadable or empty source); GridError: tiles that make no mosaic; a grid of another shape.

        Parameters
        ----------
        source
            Path, URL (http, https, s3, gs, az), folder, glob, list of tiles, (C, H, W) or (H, W) array, DataArray of xarray, or a Layer. Pixels
            that the mask of a masked array hides in any band are not valid.
            `FILE#CARD` is a raster of embeddings with their card, `FILE#NAME` an array of a MATLAB, HDF5 or NumPy file (see
            `formats.array_files`), `FOLDER#bands` the files of a folder as bands of one layer, `ITEM.json#ASSET` a raster of a
            STAC item, also at an address (see `formats.stac_items`).
        bands : 1-based, by default all but alpha
        nodata : value that means no data, as it is stored; replaces the file's own
        grid : position of an array or a Layer, by default plain pixels without CRS, and the layer's own grid
        labels : whether categories are read: numbers as stored, and from a file of several arrays the only one with two axes
        power : whether complex numbers, such as radar data before detection, are read as their power; refused otherwise
        """
        layer = cls._open_any(source, bands, nodata, grid, labels=labels)
        layer.declared.check(HONOURED | ({"complex"} if power or isinstance(source, Layer) else set()))
        return layer

    @classmethod
    def _open_any(
        cls, source: LayerLike, bands: Sequence[int] | None, nodata: float | None, grid: Grid | None, *, labels: bool
    ) -> Layer:
        """Open a source whatever it states, see `open`."""
        if isinstance(source, Layer):
            layer = source if bands is None else source.subset(bands)
            layer = layer if nodata is None else layer.with_nodata(nodata)
            layer = layer.as_stored() if labels else layer
            return layer if grid is None else layer.with_grid(grid)
        if isinstance(source, np.ndarray):
            check_axes(source, grid)
            return cls(ArraySource(source, grid, nodata), bands)
        if is_data_array(source):
            return cls(source_of(source, grid, nodata), bands, as_stored=labels)  # type: ignore[arg-type]
        if isinstance(source, bytes) or not isinstance(source, (str, Path, Sequence)):
            raise InputError(
                f"a layer cannot be opened from {type(source).__name__}. Give a path, a list of paths, an array or a Layer."
            )
        if isinstance(source, Asset):
            return cls(open_asset(source, nodata), bands, as_stored=labels)
        if isinstance(source, (str, Path)):
            return cls(open_source(str(source), OpenRequest(nodata, grid, labels)), bands, as_stored=labels)
        return cls(open_files(source, nodata), bands, as_stored=labels)

    @classmethod
    def stack(cls, files: Sequence[str | Path]) -> Layer:
        """Open files as bands of one layer, in this order; GridError where size, georeference or type differ."""
        layer = cls(open_stack([str(file) for file in files], None))
        layer.declared.check(HONOURED)
        return layer

    @property
    def reader(self) -> Source:
        """Return the source that the layer reads from."""
        return self._source

    @property
    def grid(self) -> Grid:
        """Shape, affine and CRS."""
        return self._source.grid

    @property
    def height_crs(self) -> pyproj.CRS | None:
        """The CRS of the file with what heights refer to, which a grid may lack."""
        return self._source.height_crs or (None if self.grid.crs is None else self.grid.crs.proj)

    @property
    def count(self) -> int:
        """Number of bands read."""
        return len(self._bands)

    @property
    def bands(self) -> list[int]:
        """The bands read, 1-based, of the source; what `subset` takes."""
        return list(self._bands)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values as read."""
        return physical_dtype(self._source.dtype, self.scaling)

    @property
    def nodata(self) -> float | None:
        """Return the stored value that means no data in all bands read; None without one, or if bands have different ones."""
        return common_nodata(self.band_nodata)

    @property
    def band_nodata(self) -> list[float | None]:
        """Return the stored value that means no data in each band read, None for a band without one."""
        return self._source.nodata_of(self._bands)

    @property
    def declared(self) -> Declared:
        """Return the metadata that the source states about itself and the bands read."""
        return self._source.declared.subset(self._bands)

    @property
    def band_names(self) -> list[str]:
        """Names of the bands read, `band_1` … where the file has none."""
        return [self._source.band_names[band - 1] for band in self._bands]

    @property
    def sensor(self) -> Sensor:
        """Return the sensor of the image, recognised from all bands of the source; the same for every part of it."""
        return Sensor(self._source.declared, tuple(self._bands))

    @property
    def band_keys(self) -> tuple[str, ...]:
        """Return the names of the bands read or, without names, their colours, as keys to match the bands of two files; () if unknown."""
        return band_keys(self.band_names, self.colour_roles)

    @property
    def wavelengths_nm(self) -> Floats | None:
        """Return the centre wavelengths of the bands read, (C,) in nanometres, NaN for bands without one; None if no band has one."""
        if self._source.declared.wavelengths_nm is None:
            return None
        return np.array([self._source.declared.bands[band - 1].wavelength_nm for band in self._bands], np.float64)

    @property
    def colour_roles(self) -> list[str] | None:
        """Return the file's colour interpretation of each band: "red", "gray", "undefined" …; None if it has none.

        Also None if bands were chosen by number: writers call the bands of most 8-bit files red, green, blue, whatever they show."""
        return self.declared.colours if self._bands == self._source.bands else None

    @property
    def stored_values(self) -> list[StoredValues]:
        """Return how the numbers of each band read are to be interpreted, as stated by the file."""
        return self.declared.stored

    @property
    def unmasked_band(self) -> str | None:
        """Name of a band that is marked as alpha, but shows something and is read as a band; None without one."""
        return next(iter(self._source.declared.unmasked_names), None)

    @property
    def hidden_tile(self) -> str:
        """Return the warning about a tile of a mosaic that lies wholly under another one; '' without any."""
        return self._source.hidden_tile

    @property
    def reads_stored(self) -> bool:
        """Return whether numbers are read as they are stored, see `as_stored`."""
        return self._as_stored

    @property
    def scaling(self) -> list[StoredValues]:
        """Return the scaling of the numbers of each band that is applied on reading."""
        return [StoredValues()] * self.count if self._as_stored else self.stored_values

    @property
    def source(self) -> str:
        """Return the name of the source, for messages and manifests."""
        return self._source.name

    @property
    def paths(self) -> list[str]:
        """The files behind it; none for arrays."""
        return self._source.paths

    @property
    def place_advice(self) -> str:
        """Return how to georeference a file that has only RPCs, only a CRS, or no georeference; "" for any other source."""
        unplaced = is_placed(self.grid) and counts_pixels(self.grid)
        return self._source.place_advice or NO_POSITION * unplaced

    @property
    def has_only_crs(self) -> bool:
        """Return whether the file has a CRS but no position in it, so that its coordinates are wrong."""
        return is_placed(self.grid) and bool(self.place_advice)

    @property
    def tags(self) -> dict[str, str]:
        """The file's metadata tags."""
        return self._source.tags

    @property
    def acquired(self) -> tuple[str, date] | None:
        """The tag that states when the image was taken, and the day; None without one."""
        return stated_day(self.tags)

    @property
    def named_day(self) -> date | None:
        """The day in the names of its files; None without one, or if the names have different days."""
        days = {named_day(file_name_of(path)) for path in self.paths}
        return days.pop() if len(days) == 1 else None

    @property
    def written(self) -> tuple[str, date] | None:
        """The tag that states when a program wrote the file, and the day; None without one."""
        return written_day(self.tags)

    @property
    def synthetic(self) -> bool:
        """Return whether the layer's tags mark it as synthetic."""
        return "SYNTHETIC" in self.tags

    @property
    def legend(self) -> Legend | None:
        """The legend in its tags, which predictions have; None without, InputError for one that cannot be read."""
        return Legend.from_tags(self.tags, self.source)

    @property
    def embedding(self) -> EmbeddingCard | None:
        """The card of embeddings; None of any other raster."""
        return EmbeddingCard.from_tags(self.tags, self.source)

    @property
    def palette(self) -> dict[int, tuple[int, int, int]] | None:
        """Number → colour of a raster with a table of colours; None of any other."""
        if self.colour_roles != ["palette"] or self.dtype != np.uint8:
            return None
        with self.reader.open_dataset() as dataset:
            table = colour_table(dataset, 1)
        return None if table is None else {int(number): colour[:3] for number, colour in table.items()}

    @property
    def declared_colours(self) -> list[int] | None:
        """Return the 1-based bands that are red, green and blue by names, wavelengths or colour interpretation, else None."""
        return declared_colours(self)

    @property
    def colour_positions(self) -> dict[str, int]:
        """Return role → index, from 0, of red, green and blue among the bands read, see `colour_positions`; {} unless all are known."""
        return colour_positions(self.band_names, self.colour_roles, self.wavelengths_nm)

    @property
    def shown_bands(self) -> list[int]:
        """The 1-based bands that show it best."""
        return shown_bands(self)

    def check_position(self, what: str) -> None:
        """Refuse a layer with a CRS but no position in it, whose results would be in the wrong place. what : its name in the message. Errors: InputError."""
        if self.has_only_crs:
            raise InputError(f"{what} {self.source} is not placed on the ground: {self.place_advice}")

    def other_legend_note(self, legend: Legend) -> str | None:
        """Return a message about values to which `legend` gives other names than the legend in the tags; None without such values."""
        return other_legend_note(self.legend, legend, self.source)

    def hidden_class(self, legend: Legend) -> str | None:
        """Return the class whose value or colour a label raster declares as nodata; None without one."""
        return None if self._source.reads_legend else hidden_class(self.band_nodata, legend)

    def hidden_class_note(self, legend: Legend) -> str | None:
        """Return a message about a class hidden by nodata, and the remedy; None without one."""
        if (name := self.hidden_class(legend)) is None:
            return None
        return (
            f'{self.source} declares {self.band_nodata[0]:g} as nodata, which is its value for "{name}": those pixels are taken '
            "as void. If they are that class, remove the nodata value, e.g. with gdal_edit.py -unsetnodata FILE."
        )

    def warn_of_legend(self, legend: Legend) -> None:
        """Log which class is hidden, and which values `legend` names otherwise than the raster's own legend, if any."""
        for note in filter(None, (self.hidden_class_note(legend), self.other_legend_note(legend))):
            log.warning("%s", note)

    def covered_share(self, grid: Grid, name: str) -> float:
        """Return the share of a scene's grid that the layer covers; raise GridError, which calls it `name`, if it covers nothing."""
        if same_grid(self.grid, grid) or only_one_placed(self.grid, grid):
            return 1.0
        self.check_position(name)
        share = overlap_share(grid, turned_towards(self.grid, grid))
        if not share:
            raise GridError(
                f"layer {name!r} ({self.source}) does not overlap the scene's grid. Give one of the same site, and check "
                "the CRS and world files of both, e.g. with `deepnets4eo check`."
            )
        return share

    def subset(self, bands: Sequence[int]) -> Layer:
        """Return the layer with other bands (1-based, of the source)."""
        return self._of(self._source, bands)

    def in_declared_colours(self) -> Layer:
        """Return the layer in the order red, green, blue if the file declares its three bands as these colours in another order."""
        declared = self.declared_colours
        return self if declared is None or self.count != len(declared) else self.subset(declared)

    def as_stored(self) -> Layer:
        """Return the layer in stored numbers, for categories and for models trained on stored numbers."""
        if self._as_stored:
            return self
        return type(self)(self._source, self._bands, as_stored=True)

    def as_shown(self) -> Layer:
        """Return the layer for display and for networks of photos: numbers of 8 bits stay as stored."""
        return self.as_stored() if self._source.dtype.itemsize == 1 else self

    def with_nodata(self, value: float) -> Layer:
        """Return the layer with pixels invalid if every band has the stored `value`; this replaces the file's own nodata value."""
        return self._of(self._source.with_nodata(value))

    def with_names(self, names: Sequence[str]) -> Layer:
        """Return the layer with other band names, one for each band read."""
        every = [*self._source.band_names]
        for band, name in zip(self._bands, names, strict=True):
            every[band - 1] = name
        named = self._source.declared.with_bands(name=every)
        return self if every == self._source.band_names else self._of(with_declared(self._source, named))

    def with_factor(self, factor: float, unit: str, band: int | None = None) -> Layer:
        """Return the layer with values of a band, or of all, multiplied on reading, which gives them this unit. band : 1-based, of the source."""
        return self._of(with_declared(self._source, self._source.declared.with_factor(factor, unit, band)))

    def with_grid(self, grid: Grid) -> Layer:
        """Return the layer with its pixels placed on another grid of the same shape; nothing is resampled."""
        return self if self.grid == grid else self._of(with_grid(self._source, grid))

    def with_gsd(self, gsd_m: float | None) -> Layer:
        """Place a raster without CRS on a plane in metres, with pixels of the given size, if any; InputError if it has a CRS."""
        if gsd_m is None:
            return self
        if is_placed(self.grid) and not self.has_only_crs:
            raise InputError(
                f"a pixel of {gsd_m:g} m was stated (--gsd), but {self.source} has a CRS, which defines the size of its pixels. Leave it out."
            )
        factor = gsd_m / math.sqrt(abs(self.grid.affine.determinant))  # a world file's positions keep their proportions
        return self.with_grid(GeoBox(self.grid.shape, Affine.scale(factor) * self.grid.affine, PLAIN_METRES))

    def _of(self, source: Source, bands: Sequence[int] | None = None) -> Layer:
        """Return a layer of another view of the source, read in the same way."""
        return Layer(source, self._bands if bands is None else bands, as_stored=self._as_stored)

    def read(self, window: Window | None = None) -> Pixels:
        """Read a window, by default the whole raster; it may reach beyond the edge. Peak memory: twice the window.

        Returns
        -------
        (C, h, w) of type `dtype`, 0 beyond the edge; (h, w) bool, True where valid.
        """
        window = window or whole(self.grid)
        inside = window.clip(self.shape)
        if inside == window:
            return self._read(inside)
        data = np.zeros((self.count, window.height, window.width), self.dtype)
        valid = np.zeros((window.height, window.width), bool)
        if inside.height and inside.width:
            rows, cols = inside.within(window).slices
            data[:, rows, cols], valid[rows, cols] = self._read(inside)
        return data, valid

    def _read(self, inside: Window) -> Pixels:
        stored, valid = self._source.read(inside, self._bands)
        return to_physical(stored, self.scaling), valid

    def thumbnail(self, max_px: int) -> tuple[NDArray[Any], Mask, Grid]:
        """Read the whole layer averaged down to at most `max_px` along a side: (C, h, w) values, (h, w) bool valid, and the grid."""
        coarse = coarse_grid(self.grid, max_px)
        return *self.read_coarse((coarse.shape[0], coarse.shape[1])), coarse

    def read_coarse(self, shape: tuple[int, int]) -> Pixels:
        """Read the whole layer averaged down to `shape`: (C, h, w) values, and (h, w) bool valid."""
        stored, valid = self._source.read_coarse(shape, self._bands)
        return to_physical(stored, self.scaling), valid

    def on(self, grid: Grid, resampling: str = "bilinear") -> Layer:
        """Return this layer on another grid, warped window by window as it is read.

        resampling : "nearest" for categories, else "bilinear", "cubic" or "average". Errors: InputError (another resampling);
        GridError (only one of the two has a CRS and the shapes differ).
        """
        check_choice("resampling", resampling, RESAMPLINGS)
        if same_grid(self.grid, grid):
            return self
        turned = self.with_grid(turned_towards(self.grid, grid))
        return self._of(WarpedSource.view(turned.reader, grid, resampling))

    def plot(
        self,
        axes: Axes | None = None,
        *,
        bands: Sequence[int] | None = None,
        legend: Legend | None = None,
        max_px: int = FigureStyle.max_px,
    ) -> Axes:
        """Draw the layer: bands stretched between their 2nd and 98th percentile, labels in the colours of a legend.

        Pixels that are not valid stay empty. Errors: InputError (neither one band nor three).

        Parameters
        ----------
        axes : where to draw, by default in a new figure
        bands
            One for grey, or three for red, green and blue (1-based, of the source); by default those with these names,
            else the first three, else the first.
        legend : draws the values as labels; by default the legend in the raster's tags, unless `bands` is given
        max_px : longer side of what is read
        """
        return plot_layer(self, axes, bands, legend, max_px)

    def _summary(self) -> Summary:
        return layer_summary(self)
