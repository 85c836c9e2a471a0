"""The accessor `.d4eo` of xarray datasets, which importing this module registers: labels of a run, and their scores.

Takes datasets as `Scene.from_xarray` does, wholly in memory; the results lie on the same coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError, check_choice
from deepnets4eo.evaluation import Evaluation, Protocol, evaluate
from deepnets4eo.prediction.job import predict
from deepnets4eo.prediction.options import PredictOptions
from deepnets4eo.prediction.outputs import ENTROPY, LABELS, PROBABILITIES, VALUES
from deepnets4eo.rasters.scene import Layer, LayerLike, Scene
from deepnets4eo.tiling.scores import PACKED_ONE, PACKED_TAG

if TYPE_CHECKING:
    from deepnets4eo.segmenters.run import Run
    from deepnets4eo.segmenters.segmenter import Segmenter

FURTHER = (PROBABILITIES, ENTROPY, VALUES)


@xarray.register_dataset_accessor("d4eo")
class SceneAccessor:
    """What a dataset of layers can do as a scene: `dataset.d4eo`.

    Parameters
    ----------
    dataset : layers as variables of (y, x) or (bands, y, x), see `Scene.from_xarray`

    Examples
    --------
    .. code-block:: python

        import deepnets4eo.prediction.xr  # adds .d4eo
        import rioxarray

        photo = rioxarray.open_rasterio("photo.tif", masked=True).to_dataset(name="image")
        result = photo.d4eo.predict("runs/unet", ["probabilities"])
        result.labels.rio.to_raster("labels.tif")
        result.d4eo.evaluate("reference.tif").to_dict()["mean_iou"]
    """

    def __init__(self, dataset: xarray.Dataset) -> None:
        self._dataset = dataset

    @property
    def scene(self) -> Scene:
        """The layers as a Scene, over the same memory."""
        return Scene.from_xarray(self._dataset)

    def predict(
        self,
        run: Run | Segmenter | str | Path,
        further: Sequence[str] = (),
        options: PredictOptions | None = None,
    ) -> xarray.Dataset:
        """Label the layers with a run.

        Parameters
        ----------
        run : a run or its folder, or any segmenter
        further : what else is returned: "probabilities", "entropy", "values"
        options : tiling and limits, as of `predict`; paths of files in it are refused

        Returns
        -------
        xarray.Dataset
            `labels` (y, x) uint8 with void 255, `probabilities` (`probabilities_band`, y, x) 0–1 with the names of the classes,
            `entropy` (y, x) 0–1, `values` (y, x) in their unit; of a run without classes only `values`.

        Raises
        ------
        RunError
            The layers do not fit the run.
        InputError
            Another name in `further`.
        """
        for name in further:
            check_choice("further", name, FURTHER)
        with TemporaryDirectory() as folder:
            files: dict[str, Any] = {name: Path(folder) / f"{name}.tif" for name in further}
            written = predict(
                run, self.scene, Path(folder) / "labels.tif", replace(options or PredictOptions(), **files)
            )
            result = Scene.open(None, **written.paths).to_xarray()
        for name in {PROBABILITIES, ENTROPY} & result.keys():
            result[name].values /= np.float32(PACKED_ONE)
            del result[name].attrs[PACKED_TAG]
            result[name].attrs["MEANING"] = result[name].attrs["MEANING"].partition(";")[0]
        return result

    def evaluate(
        self,
        reference: LayerLike | xarray.Dataset,
        legend: Legend | str | None = None,
        protocol: Protocol | None = None,
    ) -> Evaluation:
        """Score the variable `labels`.

        Parameters
        ----------
        reference : label values or colours: a path, an array, a Layer, or a dataset with the variable `labels`
        legend : legend to score in; by default the one in the attributes of `labels`, which predictions have
        protocol : rules, as of `evaluation.evaluate`

        Returns
        -------
        Evaluation

        Raises
        ------
        InputError
            There are no `labels`, or their legend is not known.
        """
        labels = _labels(self._dataset)
        legend = legend or labels.legend
        if legend is None:
            raise InputError("the labels of this dataset do not name their legend. Give it, e.g. legend='isprs'.")
        known = _labels(reference) if isinstance(reference, xarray.Dataset) else reference
        return evaluate(labels, known, legend, protocol)


def _labels(dataset: xarray.Dataset) -> Layer:
    if LABELS not in dataset:
        raise InputError(
            f"the dataset has the variables {sorted(map(str, dataset.data_vars))}, none of them called {LABELS!r}. Rename "
            f"the one of labels: dataset.rename(NAME={LABELS!r})."
        )
    return Scene.from_xarray(dataset[[LABELS]]).layers[LABELS]
