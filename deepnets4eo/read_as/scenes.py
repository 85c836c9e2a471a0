"""Assessment of the layers of whole scenes, which a run learns from or labels, each by its name.

Stated metadata of all scenes are looked at. Values are looked at in at most 100 scenes, and in all of them if any contains undeclared nodata.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from itertools import groupby

from deepnets4eo.cards import Legend
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.read_as.assessment import Assessment, Door
from deepnets4eo.read_as.kinds import kind_of
from deepnets4eo.tiling import spread_indices

log = logging.getLogger(__name__)

MAX_LOOKED_AT = 100  # scenes whose values are looked at before any is suspected


def check_layer(name: str, layer: Layer, *, on_ground: bool = True) -> Assessment:
    """Assess a layer of a scene only by what its source states. Errors: InputError."""
    return kind_of(name, layer).check(layer, Door.of_layer(name, on_ground=on_ground))


def look_at_layers(layers: Sequence[Layer], name: str, *, user_nodata: bool = False) -> list[Assessment]:
    """Assess checked layers of one name, of several scenes, by their values."""
    door = Door.of_layer(name, user_nodata=user_nodata)

    def look(index: int) -> Assessment:
        return kind_of(name, layers[index]).look(layers[index], door)

    first = {index: look(index) for index in spread_indices(len(layers), MAX_LOOKED_AT)}
    every = any(assessed.findings for assessed in first.values())
    return [
        first[index] if index in first else look(index) if every else Assessment(layer)
        for index, layer in enumerate(layers)
    ]


def assess_scene(
    scene: Scene,
    *,
    on_ground: bool = True,
    legend: Legend | None = None,
    names: Collection[str] | None = None,
    user_nodata: Collection[str] = (),
    choose: Callable[[str, Layer], Layer] = lambda _, layer: layer,
) -> Scene:
    """Assess the layers of a scene, and log the findings. Errors: InputError.

    Parameters
    ----------
    scene : as it was opened
    on_ground : whether results lie on the ground, see `Door`
    legend : in which the labels are read, if a legend other than their own may be
    names : of the layers that are read, by default all
    user_nodata : layers whose nodata value the user or the run states
    choose : bands of a layer, between both steps of its assessment
    """
    layers, findings = dict(scene.layers), list[Finding]()
    for name in scene.layers if names is None else [name for name in scene.layers if name in names]:
        checked = check_layer(name, layers[name], on_ground=on_ground)
        seen = look_at_layers([choose(name, checked.layer)], name, user_nodata=name in user_nodata)[0]
        layers[name] = seen.layer
        findings += [*checked.findings, *seen.findings]
    report_findings(findings)
    if legend is not None and Scene.label_layer in layers:
        layers[Scene.label_layer].warn_of_legend(legend)
    if layers == scene.layers:
        return scene
    grid = next(iter(layers.values())).grid  # heights in metres have no vertical CRS in another unit
    return Scene({name: layer.with_grid(grid) for name, layer in layers.items()}, grid)


def report_findings(findings: Sequence[Finding]) -> None:
    """Log findings on many layers as warnings, one of each kind."""
    for _, group in groupby(sorted(findings, key=lambda finding: finding.code), lambda finding: finding.code):
        alike = list(group)
        more = f" Likewise in {len(alike) - 1} more." if len(alike) > 1 else ""
        log.warning("%s%s", alike[0].whole, more)
