"""`import deepnets4eo.xarray` gives arrays and datasets of xarray the accessor `.eo`: predict, change, flood, evaluate.

What comes back has the coordinates of what was given, with its CRS as rioxarray and odc-geo write it. Arrays of dask stay lazy."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from itertools import accumulate, pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray
from numpy.typing import NDArray

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.display import watched_progress
from deepnets4eo.errors import InputError
from deepnets4eo.jobs import Progress
from deepnets4eo.rasters import Layer, Scene, grid_of, plane_of
from deepnets4eo.read_as import sample_windows, undeclared_nodata

if TYPE_CHECKING:
    from deepnets4eo.change import ChangeOptions
    from deepnets4eo.evaluation import Evaluation, Protocol
    from deepnets4eo.floods import FloodOptions
    from deepnets4eo.prediction import PredictOptions
    from deepnets4eo.segmenters import Run, Segmenter

Data = xarray.DataArray | xarray.Dataset

log = logging.getLogger(__name__)
NOT_COMPUTED = "Not computed yet, or in another process: what limits the worth of this map is known once it is computed, and logged there."

__all__ = ["EarthObservation"]


@xarray.register_dataset_accessor("eo")
@xarray.register_dataarray_accessor("eo")
class EarthObservation:
    """The toolbox on one array (an image) or dataset (layers by name) of xarray.

    Parameters
    ----------
    data : with coordinates, CRS and nodata as rioxarray and odc-geo write them; xarray gives it

    Examples
    --------
    ::

        import deepnets4eo.xarray
        image = rioxarray.open_rasterio("photo.tif", chunks=2048)
        labels = image.eo.predict("buildings")     # lazy, as the image is
        labels.rio.to_raster("labels.tif")
        print(labels.eo.evaluate(reference))
    """

    def __init__(self, data: Data) -> None:
        self._data = data

    def predict(self, run: Run | Segmenter | str | Path, options: PredictOptions | None = None) -> xarray.DataArray:
        """Label each pixel by a run. Errors: as for `deepnets4eo.predict`.

        Parameters
        ----------
        run : a run, its folder, the name of a shipped model, or a segmenter
        options : tiling and limits; further outputs are files, and are not made here

        Returns
        -------
        uint8 values of the legend, void 255 for pixels that are not valid in a layer; without classes the run's quantity. An array of
        dask is computed block by block, each with the run's halo around it: its values equal the whole array's unless a network sees
        further than its halo.
        """
        from deepnets4eo.segmenters import Run, load_run

        labeller = load_run(run) if isinstance(run, (str, Path)) else run
        segmenter = labeller.segmenter if isinstance(labeller, Run) else labeller

        if _is_lazy(self._data):
            kind = np.dtype(np.uint8 if segmenter.legend.classes else np.float32)
            values = _by_blocks(
                self._data,
                segmenter.tiling.halo_px,
                kind,
                lambda part, nodata: _labels(part, labeller, options, nodata=nodata),
            )
        else:
            with watched_progress("predict") as advance:
                values = _labels(self._data, labeller, options, advance)
        return _like(self._data, values, "labels", _flags(segmenter.legend))

    def change(self, other: Data, options: ChangeOptions | None = None) -> xarray.Dataset:
        """Map what changed from this image to a later one. Errors: as for `map_change`.

        Parameters
        ----------
        other : the later image, whose grid is the grid of the map; it is registered to this one
        options : method, threshold, run and alignment

        Returns
        -------
        `change` (0, 1, 255 not seen) and `score`, with the sentences that limit the map's worth as the attribute `findings`. Both
        images are needed as a whole: arrays of dask are computed when the result is, in one task. Their findings are logged then,
        and replace the sentence in the attribute; a result computed in another process keeps that sentence.
        """
        from deepnets4eo.change import ChangeOptions, map_change

        chosen = options or ChangeOptions()

        def job(out: Path, progress: Progress | None) -> Any:
            return map_change(_layer(self._data), _layer(other), out, chosen, progress=progress)

        return _mapped(job, other, {"change": "change.tif", "score": "score.tif"}, Legend.load("change"))

    def flood(self, pre: Data | None = None, options: FloodOptions | None = None) -> xarray.Dataset:
        """Map what is flooded in this image; computed at once. Errors: as for `map_flood`.

        Parameters
        ----------
        pre : the image before, which shows the permanent water
        options : how the map is made

        Returns
        -------
        `flood` (dry, permanent water, flood, 255 not seen) and `probability` of water, with the attribute `findings`; for optical images
        with pixels finer than 1 m, on a grid of about 1 m.
        """
        from deepnets4eo.floods import map_flood

        def job(out: Path, progress: Progress | None) -> Any:
            before = [] if pre is None else [_layer(pre, power=True)]
            return map_flood(before, _layer(self._data, power=True), out, options, progress=progress)

        return _mapped(job, None, {"flood": "flood.tif", "probability": "probability.tif"}, Legend.load("water"))

    def evaluate(
        self, reference: Data, legend: Legend | str | None = None, protocol: Protocol | None = None
    ) -> Evaluation:
        """Score these labels against a reference. Errors: as for `deepnets4eo.evaluate`.

        Parameters
        ----------
        reference : label values in one band, on any grid
        legend : by default the legend in the attributes of the labels, as written by `predict`
        protocol : rules; by default all classes count
        """
        from deepnets4eo.evaluation import evaluate

        if legend is None:
            kept = self._data.attrs.get("legend")
            if kept is None:
                raise InputError("these labels name no legend. Give it: labels.eo.evaluate(reference, legend=NAME).")
            try:
                legend = Legend.from_dict(json.loads(kept))
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"the attribute 'legend' of these labels is no legend ({error}). Give it: labels.eo.evaluate(reference, legend=NAME)."
                ) from error
        return evaluate(_layer(self._data), _layer(reference), legend, protocol)


def _is_lazy(data: Data) -> bool:
    return bool(data.chunks)


def _layer(data: Data, *, power: bool = False) -> Layer:
    """One image as a layer over its memory; power : see `Layer.open`. Errors: InputError for a dataset of several."""
    if isinstance(data, xarray.Dataset):
        layers = [name for name in data.data_vars if data[name].ndim >= 2]
        if len(layers) != 1:
            raise InputError(
                f"expected one image, got a dataset of {', '.join(map(str, layers))}. Choose one: ds[NAME].eo."
            )
        data = data[layers[0]]
    return Layer.open(data, power=power)


def _labels(
    data: Data,
    run: Any,
    options: PredictOptions | None,
    progress: Progress | None = None,
    *,
    nodata: Mapping[str, float] | None = None,
) -> NDArray[Any]:
    """Return the labels or values that `predict` writes, (y, x). nodata : of layers whose array declares none."""
    from deepnets4eo.prediction import predict

    stated = nodata or {}
    scene: Any = data
    if isinstance(data, xarray.Dataset):
        whole = Scene.from_xarray(data)
        layers = {
            name: layer.with_nodata(stated[name]) if name in stated else layer for name, layer in whole.layers.items()
        }
        scene = Scene(layers, whole.grid)
    elif "" in stated:
        scene = Layer.open(data, nodata=stated[""])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "labels.tif"
        predict(run, scene, out, options, progress=progress)
        return np.asarray(Layer.open(out).read()[0][0])


def _undeclared(samples: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return layer → value without data that its array does not declare, by sampled windows (C, h, w) of the whole array."""
    hidden = {name: undeclared_nodata(Layer.open(values)) for name, values in samples.items()}
    return {
        name: undeclared.value
        for name, undeclared in hidden.items()
        if undeclared is not None and undeclared.value is not None
    }


def _samples(data: Data, plane: tuple[str, str]) -> dict[str, Any]:
    """Return layer → windows spread over a lazy array, (C, h, w), one below the other; "" is the layer of an array."""
    arrays = {"": data} if isinstance(data, xarray.DataArray) else {str(name): data[name] for name in data.data_vars}
    windows = sample_windows((data.sizes[plane[0]], data.sizes[plane[1]]))
    samples = {}
    for name, array in arrays.items():
        if (
            {*plane} <= {*array.dims}
            and array.ndim <= 3
            and Layer.open(array.isel(dict.fromkeys(plane, slice(0, 2)))).nodata is None
        ):
            parts = [
                array.transpose(..., *plane).isel(dict(zip(plane, window.slices, strict=True))) for window in windows
            ]
            height, width = (min(part.sizes[axis] for part in parts) for axis in plane)
            samples[name] = np.concatenate([part.data[..., :height, :width] for part in parts], axis=-2)
    return samples


def _by_blocks(
    data: Data, halo_px: int, kind: np.dtype[Any], label: Callable[[Data, Mapping[str, float]], NDArray[Any]]
) -> Any:
    """Return a lazy array (y, x) of the result of `label` for each block with its surroundings; blocks are the data's chunks.

    Values without data that no array declares are looked for once, in windows spread over the whole."""
    import dask
    import dask.array

    plane = tuple(map(str, plane_of(data)))
    chunks = data.chunksizes
    hidden = dask.delayed(_undeclared)(_samples(data, (plane[0], plane[1])))
    sides = [list(accumulate(chunks.get(axis, (data.sizes[axis],)), initial=0)) for axis in plane]

    def block(rows: tuple[int, int], cols: tuple[int, int]) -> Any:
        around = {
            axis: slice(max(0, first - halo_px), min(data.sizes[axis], last + halo_px))
            for axis, (first, last) in zip(plane, (rows, cols), strict=True)
        }
        own = tuple(
            slice(first - around[axis].start, last - around[axis].start)
            for axis, (first, last) in zip(plane, (rows, cols), strict=True)
        )
        computed = dask.delayed(lambda part, nodata: label(part, nodata)[own])(data.isel(around), hidden)
        return dask.array.from_delayed(computed, (rows[1] - rows[0], cols[1] - cols[0]), kind)

    rows, cols = (list(pairwise(side)) for side in sides)
    blocks = iter([block(row, col) for row, col in product(rows, cols)])
    return dask.array.block([[next(blocks) for _ in cols] for _ in rows])


def _mapped(
    job: Callable[[Path, Progress | None], Any], on: Data | None, files: dict[str, str], legend: Legend
) -> xarray.Dataset:
    """Return the rasters of a job as a dataset; lazily if `on`, which has the same grid, is lazy."""

    def run(progress: Progress | None = None) -> tuple[dict[str, xarray.DataArray], list[str]]:
        with tempfile.TemporaryDirectory() as folder:
            made = job(Path(folder) / "map", progress)
            layers: dict[str, Any] = {name: Path(folder) / "map" / file for name, file in files.items()}
            scene = Scene.open(**layers)
            dataset = scene.to_xarray().load()
        return {name: dataset[name] for name in files}, [finding.whole for finding in made.findings]

    if on is None or not _is_lazy(on):
        with watched_progress(next(iter(files))) as advance:
            values, findings = run(advance)
        whole = xarray.Dataset(values, attrs={"findings": findings})
    else:
        import dask
        import dask.array

        size, findings = tuple(on.sizes[axis] for axis in plane_of(on)), [NOT_COMPUTED]

        def compute() -> dict[str, NDArray[Any]]:
            values, findings[:] = run()
            for finding in findings:
                log.warning("%s", finding)
            return {name: array.values for name, array in values.items()}

        once = dask.delayed(compute)()
        lazy = {name: dask.array.from_delayed(once[name], size, np.float32) for name in files}
        whole = xarray.Dataset(
            {name: _like(on, values, name, {}) for name, values in lazy.items()}, attrs={"findings": findings}
        )
    label = next(iter(files))
    classes = whole[label].fillna(VOID).astype(np.uint8)
    whole[label] = classes.assign_attrs({**whole[label].attrs, **_flags(legend)})
    return whole


def _like(data: Data, values: Any, name: str, attributes: dict[str, Any]) -> xarray.DataArray:
    """Return values (y, x) with the coordinates of the data."""
    plane = plane_of(data)
    kept = {key: value for key, value in data.coords.items() if set(value.dims) <= set(plane)}
    crs = grid_of(data).crs
    made = xarray.DataArray(values, kept, plane, name, attributes)
    return made if crs is None or "spatial_ref" in kept else made.odc.assign_crs(crs)


def _flags(legend: Legend) -> dict[str, Any]:
    """Names of the values as the CF conventions write them, and the whole legend."""
    if not legend.classes:
        return {"units": legend.quantity.unit if legend.quantity else "", "long_name": legend.name}
    names = [entry.name.replace(" ", "_") for entry in legend.classes]
    return {
        "flag_values": np.array(legend.values, np.uint8), "flag_meanings": " ".join(names), "_FillValue": VOID,
        "legend": json.dumps(legend.to_dict()),
    }  # fmt: skip
