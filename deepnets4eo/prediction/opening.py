"""A scene for a segmenter out of a path, a layer or several: its layers by name, its bands as training had them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from deepnets4eo.rasters.scene import Layer, LayerLike, Scene
from deepnets4eo.segmenters.segmenter import Segmenter

log = logging.getLogger(__name__)


def open_scene(scene: Scene | LayerLike | Mapping[str, LayerLike], segmenter: Segmenter) -> Scene:
    """Open a scene for a segmenter.

    Parameters
    ----------
    scene
        A Scene, layer → raster, or one raster: the first layer that the segmenter reads.
    segmenter
        Names that layer.

    Returns
    -------
    Scene
        Not yet checked against the segmenter's inputs. Of each layer the bands that training had, by their names, the nodata
        value that its recipe gave, and physical values or numbers as they are stored, whichever training had.

    Raises
    ------
    InputError
        Rasters that cannot be read, or do not share a grid.

    Examples
    --------
    .. code-block:: python

        scene = open_scene("ortho.tif", load_run("runs/unet").segmenter)
    """
    if isinstance(scene, Scene):
        return segmenter.inputs.as_trained(scene)
    layers = scene if isinstance(scene, Mapping) else {segmenter.inputs.names[0]: scene}
    opened = Scene.open(None, **layers)
    expected = {name: segmenter.inputs.layers[name] for name in opened.layers if name in segmenter.inputs.layers}
    chosen = {name: _choose_bands(opened.layers[name], layer.bands) for name, layer in expected.items()}
    stated = {name: layer.nodata for name, layer in expected.items() if layer.nodata is not None}
    chosen |= {name: chosen[name].with_nodata(value) for name, value in stated.items()}
    return segmenter.inputs.as_trained(Scene({**opened.layers, **chosen}, opened.grid))


def _choose_bands(layer: Layer, names: Sequence[str]) -> Layer:
    """The bands of these names, where the layer has them, also among others or in another order; else the layer as it is.

    band_1, band_2, … without a gap say nothing: any file without names has them, whatever its bands show.
    """
    known = dict(zip(layer.band_names, layer.bands, strict=True))
    nameless = list(names) == [f"band_{number}" for number in range(1, len(names) + 1)]
    if nameless or layer.band_names == list(names) or len(known) < layer.count or not known.keys() >= set(names):
        return layer
    log.info("of the %d bands of %s those that training had are read, in its order", layer.count, layer.source)
    return layer.subset([known[name] for name in names])
