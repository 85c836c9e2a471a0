"""Layers of one site on one grid, read by window. Refuses layers off the grid, with the file and the reason."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards import Legend
from deepnets4eo.display import FigureStyle, Summary, WithSummary
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window, crop, whole
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.rasters.array_files import transposed_sources
from deepnets4eo.rasters.display import plot_layers, scene_summary
from deepnets4eo.rasters.layer import Layer, LayerLike
from deepnets4eo.rasters.on_grid import OnGrid
from deepnets4eo.rasters.values import label_bytes
from deepnets4eo.rasters.warped_source import same_grid
from deepnets4eo.rasters.xarray_sources import grid_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

log = logging.getLogger(__name__)

CRS_COORDINATE = "spatial_ref"  # of rioxarray and odc-geo
WHOLE = 0.99  # a layer that covers this share of a scene counts as covering all of it


class Scene(OnGrid, WithSummary):
    """Named layers of one site on one grid.

    Parameters
    ----------
    layers
        Layers by name: image, dsm, osm, pre, post, labels … `labels` are categories: nearest-neighbour warped, void (255)
        for pixels that are not valid or that they do not cover.
    grid : grid of the scene, by default the grid of the first layer

    Raises
    ------
    InputError (no layer; a layer with a CRS but no position, together with others on another grid); GridError (a layer that does not overlap the grid; partial coverage is only logged).

    >>> scene = Scene.open(image=np.ones((3, 4, 5), np.uint8), labels=np.zeros((4, 5), np.uint8))
    >>> {name: values.shape for name, values in scene.read().items()}
    {'image': (3, 4, 5), 'labels': (4, 5), 'valid': (4, 5)}
    """

    label_layer: ClassVar[str] = "labels"

    def __init__(self, layers: Mapping[str, Layer], grid: Grid | None = None) -> None:
        if not layers:
            raise InputError("a scene needs at least one layer, e.g. image=photo.tif.")
        layers = fit_axes(layers) if grid is None else layers
        self.grid = grid if grid is not None else next(iter(layers.values())).grid
        if not all(same_grid(layer.grid, self.grid) for layer in layers.values()):
            for name, layer in layers.items():
                layer.check_position(f"layer {name!r}")
        self.layers = {name: self._on_grid(name, layer) for name, layer in layers.items()}

    @classmethod
    def open(cls, grid: Grid | None = None, **sources: LayerLike) -> Scene:
        """Open layers by name: `Scene.open(image="a.tif", dsm="b.tif", labels="c.tif")`."""
        return cls(
            {name: Layer.open(source, labels=name == Scene.label_layer) for name, source in sources.items()}, grid
        )

    @classmethod
    @name_missing_extra()
    def from_xarray(cls, dataset: xarray.Dataset) -> Scene:
        """Take the variables of a Dataset as layers over the same memory; the contrary of `to_xarray`.

        Errors: GridError (coordinates that are no even grid); InputError (a variable with more axes).

        Parameters
        ----------
        dataset
            Variables of (y, x) or (bands, y, x), in any order; axes of length 1 are left out. Coordinates and CRS as rioxarray
            and odc-geo write them; NaN and the stated value without data are not valid.
        """
        words = [
            name for name, array in dataset.data_vars.items() if not array.ndim
        ]  # such as the CRS of a NetCDF file
        dataset = dataset.set_coords(words)
        grid = grid_of(dataset)
        return cls({str(name): Layer.open(array, grid=grid) for name, array in dataset.data_vars.items()}, grid)

    @name_missing_extra()
    def to_xarray(self, window: Window | None = None) -> xarray.Dataset:
        """Read a window, by default all, into a Dataset, with coordinates and CRS (`spatial_ref`) as rioxarray and odc-geo expect them.

        Errors: MissingExtraError (xarray is not installed).

        Returns
        -------
        One variable per layer: (y, x), or (`NAME_band`, y, x) for several bands, in floating point with NaN for invalid pixels; `labels`
        uint8 with void 255.
        """
        import xarray
        from odc.geo.xr import xr_coords

        window = window or whole(self.grid)
        coords: dict[Any, Any] = xr_coords(crop(self.grid, window))
        plane, variables = tuple(name for name in coords if name != CRS_COORDINATE), {}
        encoding = {"grid_mapping": CRS_COORDINATE} if CRS_COORDINATE in coords else {}
        for name, layer in self.layers.items():
            data, valid = layer.read(window)
            if name == Scene.label_layer:
                values = label_bytes(data[0], valid, layer.source)[None]
            else:
                values = np.where(valid, data, np.float32(np.nan))
            bands = {f"{name}_band": layer.band_names} if len(values) > 1 else {}
            attrs = layer.declared.free_tags
            variables[name] = ((*bands, *plane), values if bands else values[0], attrs, encoding)
            coords |= bands
        return xarray.Dataset(variables, coords)

    @property
    def synthetic(self) -> bool:
        """Return whether any layer is synthetic."""
        return any(layer.synthetic for layer in self.layers.values())

    def read(self, window: Window | None = None, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Read the layers in a window.

        Errors: InputError (a layer that the scene does not have); LabelError (`labels` hold a valid value that is no whole number
        0–255).

        Parameters
        ----------
        window : by default the whole scene; it may reach beyond the edge
        names : the layers, by default all

        Returns
        -------
        {name: (C, h, w) float32}, `labels` (h, w) uint8 with void 255, and `valid` (h, w) bool: True where all layers but the labels are.
        """
        sample = self.read_stored(window, names)
        return {
            name: data if name in (Scene.label_layer, "valid") else data.astype(np.float32)
            for name, data in sample.items()
        }

    def read_stored(self, window: Window | None = None, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Read as `read` does, with each layer in its own type (`Layer.dtype`): less memory, for values that are scaled anyway."""
        window = window or whole(self.grid)
        sample: dict[str, NDArray[Any]] = {}
        valid = np.ones((window.height, window.width), bool)
        for name in names if names is not None else self.layers:
            data, layer_valid = self._layer(name).read(window)
            if name == Scene.label_layer:
                sample[name] = label_bytes(data[0], layer_valid, self.layers[name].source)
            else:
                sample[name] = data
                valid &= layer_valid
        sample["valid"] = valid
        return sample

    def plot(self, *, legend: Legend | None = None, max_px: int = FigureStyle.max_px) -> list[Axes]:
        """Draw the layers next to each other in a new figure, as `Layer.plot` does; return the Axes of each. legend : of `labels`."""
        return plot_layers(self.layers, {Scene.label_layer: legend}, max_px)

    def _summary(self) -> Summary:
        return scene_summary(self.grid, self.layers)

    def _on_grid(self, name: str, layer: Layer) -> Layer:
        if (
            name == Scene.label_layer
        ):  # one raster may label some of many tiles; training refuses a scene without labels
            return layer.as_stored().on(self.grid, "nearest")
        warped = layer.on(self.grid)
        share = layer.covered_share(self.grid, name)
        if share < WHOLE:
            log.warning(
                "Layer %r (%s) covers %.0f %% of the scene; no pixel is valid where it does not reach.",
                name, layer.source, 100 * share,
            )  # fmt: skip
        return warped

    def _layer(self, name: str) -> Layer:
        if name not in self.layers:
            raise InputError(f"the scene has the layers {sorted(self.layers)}, not {name!r}. Give it as {name}=FILE.")
        return self.layers[name]


def fit_axes(layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """Return the layers, with array axes in the order that fits the labels, else the first layer; GridError if none fits."""
    transposed = transposed_sources({name: layer.reader for name, layer in layers.items()}, Scene.label_layer)
    fitted = dict(layers)
    for name, source in transposed.items():
        all_bands = layers[name].bands == layers[name].reader.bands
        bands = None if all_bands else layers[name].bands
        fitted[name] = Layer(source, bands, as_stored=layers[name].reads_stored)
    return fitted
