"""Land cover of both dates as one map from → to, out of runs that exist: strategies 1 and 3 of Daudt et al. (CVIU 2019).

Takes a segmenter of land cover of one image, and optionally a segmenter of change between two. The result is a
`Segmenter` itself.

Strategy 1 compares two maps of land cover. Strategy 3 compares them only where change was detected. Strategies 2 and 4
are separate networks (task `change-cover`).

Refuses a land-cover segmenter of several layers, and a change segmenter whose dates have other bands than it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.arrays import Batch, ByteImage, FloatImage
from deepnets4eo.cards import Legend
from deepnets4eo.change.change_scores import check_two_classes
from deepnets4eo.change.classical.detector import DateLayers
from deepnets4eo.change.transitions import from_to_legend
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import (
    GSD_FACTOR,
    InputSpec,
    LayerInput,
    ProbabilitySegmenter,
    Segmenter,
    describe_nested,
    name_problems,
    rebuild_member,
    save_member,
)
from deepnets4eo.tiling import Tiling

COVER, CHANGE = "cover-", "change-"


class CoverComparison(ProbabilitySegmenter):
    """Classes from → to of land cover at each date, and optionally of change detected by itself.

    Without `change`, a pixel has changed if the two maps differ (strategy 1).

    With it, `change` decides which pixels have changed, and the covers are the most probable pair that agrees with it
    (strategy 3).

    Parameters
    ----------
    cover : land cover of one image
    change : no change and change from `image_pre` and `image_post`, e.g. a run or a `ChangeDetector`.
    tiling : by default the tiling of `cover`, with the wider halo of both

    Raises
    ------
    InputError
        Land cover that needs several layers, change of another number of classes, dates that differ in their bands.

    Examples
    --------
    ```python
    cover, change = (load_run(folder).segmenter for folder in ("runs/cover", "runs/change"))
    save_run(CoverComparison(cover, change), "runs/from-to")
    ```
    """

    kind = "cover-comparison"

    def __init__(self, cover: Segmenter, change: Segmenter | None = None, *, tiling: Tiling | None = None) -> None:
        self.cover, self.change = cover, change
        layer = _check_one_layer(cover)
        self.legend = from_to_legend(cover.legend)
        self.inputs = InputSpec({DateLayers.pre: layer, DateLayers.post: layer}, cover.inputs.gsd_m)
        if change is not None:
            _check_change(change, cover, layer)
            self.inputs = change.inputs
        halo_px = max(member.halo_px for member in self.members)
        self.tiling = cover.tiling.with_wider_halo(halo_px) if tiling is None else tiling
        self._scales = [_rescale(dated, layer) for dated in self.inputs.layers.values()]

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Return scores of the classes from → to, (N, L², h, w) float32, summing to 1; their maximum follows the decision on change."""
        pre, post = (
            self.cover.predict_proba(image * scale + offset, margin_px=margin_px)
            for image, (scale, offset) in zip(np.split(batch, 2, axis=1), self._scales, strict=True)
        )
        pairs = pre[:, :, None] * post[:, None]
        if self.change is not None:
            _follow_decision(pairs, self.change.predict_proba(batch, margin_px=margin_px))
        shape = (len(pairs), -1, *pairs.shape[3:])
        return np.asarray(pairs.reshape(shape) / pairs.sum(axis=(1, 2))[:, None], np.float32)

    def predict_classes(self, batch: Batch, *, margin_px: int = 0) -> ByteImage:
        """Return class indices of the best scores, (N, h, w) uint8."""
        return self.predict_raw(batch, margin_px=margin_px).argmax(axis=1).astype(np.uint8)

    def to(self, compute: Compute) -> None:
        """Move both members to a device and precision."""
        for member in self.members:
            member.to(compute)

    def describe(self) -> dict[str, Any]:
        """Return plain values that `restore` needs to rebuild the same segmenter, with the values of its members nested."""
        members = {COVER: self.cover, CHANGE: self.change}
        return {prefix: _describe(member) for prefix, member in members.items() if member is not None}

    def save(self, folder: str | Path) -> list[str]:
        """Write the members' states side by side; returns the names of all files."""
        names = save_member(self.cover, Path(folder), COVER)
        return names if self.change is None else names + save_member(self.change, Path(folder), CHANGE)

    @classmethod
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> CoverComparison:
        """Return the segmenter that `save` wrote. Raises RunError if a member cannot be rebuilt."""
        members = [
            rebuild_member(
                folder, prefix, entry, InputSpec.from_dict(entry["inputs"]), Legend.from_dict(entry["legend"])
            )
            for prefix, entry in sorted(description.items(), reverse=True)  # cover first
        ]
        return cls(*members, tiling=tiling)

    @property
    def members(self) -> list[Segmenter]:
        """The segmenters inside."""
        return [self.cover] if self.change is None else [self.cover, self.change]


def _describe(member: Segmenter) -> dict[str, Any]:
    return describe_nested(member) | {"inputs": member.inputs.to_dict(), "legend": member.legend.to_dict()}


def _follow_decision(pairs: FloatImage, change: FloatImage) -> None:
    """Scale pair scores (N, L, L, h, w) in place to agree with change (N, 2, h, w).

    The best pair without change becomes P(no change), and the best one with change P(change).
    """
    same = np.eye(pairs.shape[1], dtype=bool)
    for group, probability in ((same, change[:, 0]), (~same, change[:, 1])):
        best = np.maximum(pairs[:, group].max(axis=1), np.finfo(np.float32).tiny)
        pairs[:, group] *= (probability / best)[:, None]


def _check_one_layer(cover: Segmenter) -> LayerInput:
    if len(cover.inputs.layers) != 1:
        raise InputError(
            f"land cover takes the layers {cover.inputs.names}, expected one image. Name a run with one layer."
        )
    return next(iter(cover.inputs.layers.values()))


def _check_change(change: Segmenter, cover: Segmenter, layer: LayerInput) -> None:
    dated = change.inputs.layers
    if list(dated) != [DateLayers.pre, DateLayers.post]:
        raise InputError(
            f"change takes the layers {list(dated)}, expected {DateLayers.pre} and {DateLayers.post}. Name a run of change."
        )
    check_two_classes(change.legend, "the run of change")
    counts = {name: len(layer_input.bands) for name, layer_input in dated.items()}
    if set(counts.values()) != {len(layer.bands)}:
        raise InputError(
            f"the dates of change have {counts} bands, land cover has {len(layer.bands)}. Train both on the same bands."
        )
    for name, layer_input in dated.items():
        if problems := name_problems(f"layer {name!r} of change", layer.bands, layer_input.bands):
            raise InputError(f"{problems[0]}. Train both on the same bands, in one order.")
    sizes = [size for size in (cover.inputs.gsd_m, change.inputs.gsd_m) if size is not None]
    if len(sizes) == 2 and max(sizes) > GSD_FACTOR * min(sizes):
        raise InputError(
            f"land cover learnt with pixels of {sizes[0]:.3g} m, change with {sizes[1]:.3g} m: more than a factor of {GSD_FACTOR:g}. "
            "Train both at one size."
        )


def _rescale(dated: LayerInput, layer: LayerInput) -> tuple[FloatImage, FloatImage]:
    """Return factor and offset from values scaled like one layer to values scaled like another, (C, 1, 1) float32 each."""
    mean, std, own_mean, own_std = (
        np.array(values, np.float64)[:, None, None] for values in (dated.mean, dated.std, layer.mean, layer.std)
    )
    return (std / own_std).astype(np.float32), ((mean - own_mean) / own_std).astype(np.float32)
