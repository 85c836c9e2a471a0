"""Several segmenters of one legend and input as one, by mean or majority, and views of each tile: mirrored, turned, scaled.

Refuses members that differ, unknown votes and views, and scales outside 0.25 … 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.arrays import Batch, FloatImage
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters.any_size import own_views
from deepnets4eo.segmenters.checksums import hash_of
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.run import Run
from deepnets4eo.segmenters.segmenter import Segmenter
from deepnets4eo.segmenters.wrapped import WrappedSegmenter, describe_nested, rebuild_member, save_member
from deepnets4eo.tiling import Tiling, best_class

VOTES = ("mean", "majority")

# views → (quarter turns counter-clockwise, mirrored left-right afterwards)
VIEWS: dict[str, tuple[tuple[int, bool], ...]] = {
    "none": ((0, False),),
    "half-turn": ((0, False), (2, False)),
    "flips": ((0, False), (0, True), (2, False), (2, True)),
    "turns": tuple((turns, mirrored) for turns in range(4) for mirrored in (False, True)),
}
SMALLEST_SCALE, LARGEST_SCALE = 0.25, 4.0
REACH_PX = 2  # of bilinear interpolation there and back, in pixels of the smaller image


class Ensemble(WrappedSegmenter):
    """The mean or the majority of several segmenters, pixel by pixel.

    Majority's probabilities are (votes + mean) / (members + 1): they sum to 1, and no mean outweighs a vote.

    Errors: InputError (no members, an unknown vote, and members that differ in legend or inputs).

    Parameters
    ----------
    members : segmenters of any kinds with one legend and the same inputs, at least one
    vote
        "mean": the mean of the members' probabilities; "majority": one vote each for their best class, of equals the
        class with the greater mean.
    tiling : by default the first member's, with the widest halo of all and as large a core
    """

    kind = "ensemble"

    def __init__(self, members: Sequence[Segmenter], vote: str = "mean", *, tiling: Tiling | None = None) -> None:
        if not members:
            raise InputError("an ensemble needs at least one member; none was given. Name one or more segmenters.")
        if vote not in VOTES:
            raise InputError(f"vote {vote!r} is unknown. Choose mean or majority.")
        for number, member in enumerate(members[1:], start=2):
            _check_same(member, number, members[0].legend, members[0].inputs)
        super().__init__(members, max(member.halo_px for member in members), tiling)
        self.vote = vote

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Probabilities, (N, K, h, w) float32, summing to 1 over K. Two members' scores are in memory at a time."""
        total, votes = np.zeros(0, np.float32), np.zeros(0, np.float32)
        for member in self.members:
            proba = member.predict_proba(batch, margin_px=margin_px)
            if not total.size:
                total, votes = np.zeros_like(proba), np.zeros_like(proba)
            total += proba
            if self.vote == "majority":
                classes = np.stack([best_class(image) for image in proba])
                for index in range(proba.shape[1]):
                    votes[:, index] += classes == index
        total /= np.float32(len(self.members))
        if self.vote == "mean":
            return total
        votes += total
        votes /= np.float32(len(self.members) + 1)
        return votes

    def describe(self) -> dict[str, Any]:
        """Return plain values that let `restore` rebuild the segmenter, with the members' values nested."""
        return {"vote": self.vote, "members": [describe_nested(member) for member in self.members]}

    def save(self, folder: str | Path) -> list[str]:
        """Write the members' states side by side; returns the names of all files."""
        return [
            name
            for number, member in enumerate(self.members)
            for name in save_member(member, Path(folder), _prefix(number))
        ]

    @classmethod
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> Ensemble:
        """Restore the segmenter that `save` wrote. Errors: RunError if a member cannot be rebuilt."""
        members = [
            rebuild_member(folder, _prefix(number), member, inputs, legend)
            for number, member in enumerate(description["members"])
        ]
        return cls(members, description["vote"], tiling=tiling)


def _prefix(number: int) -> str:
    return f"member{number}-"


def _check_same(member: Segmenter, number: int, legend: Legend, inputs: InputSpec) -> None:
    if member.legend != legend:
        raise InputError(
            f"member {number} of the ensemble has legend {member.legend.name!r} of {list(member.legend.names)}, the "
            f"first has {legend.name!r} of {list(legend.names)}. Use members trained with one legend."
        )
    if member.inputs == inputs:
        return
    if member.inputs.names != inputs.names:
        detail = f"layers {member.inputs.names}, the first {inputs.names}"
    else:
        differing = [name for name in inputs.names if member.inputs.layers[name] != inputs.layers[name]]
        detail = f"another scaling, range or bands of {', '.join(differing)}" if differing else "another gsd_m"
    raise InputError(
        f"member {number} of the ensemble has {detail}; all members get the same prepared tiles. Use members trained on "
        "the same layers and the same training part (data.split_seed), e.g. with several train.seed."
    )


class TestTimeAugmentation(WrappedSegmenter):
    """The mean of a segmenter's probabilities over views of the same tile, each turned and scaled back first.

    Errors: InputError (unknown views, no scale, and scales outside 0.25 … 4).

    Parameters
    ----------
    segmenter : any segmenter
    views
        "none"; "half-turn": unchanged and turned by half, 2 views; "flips": unchanged and mirrored along either side or both,
        4 views; "turns": all 8 of the square.
    scales
        Factors on the size of the image, 0.25 … 4, each with all views; the halo widens by 1 / the smallest.
    tiling : by default the segmenter's tiling, with the wider halo and as large a core
    """

    kind = "augmented"
    saved_arguments = ("views", "scales")

    def __init__(
        self,
        segmenter: Segmenter,
        views: str = "flips",
        *,
        scales: Sequence[float] = (1.0,),
        tiling: Tiling | None = None,
    ) -> None:
        if views not in VIEWS:
            raise InputError(f"views {views!r} are unknown. Choose from {', '.join(VIEWS)}.")
        if not scales or not all(SMALLEST_SCALE <= scale <= LARGEST_SCALE for scale in scales):
            raise InputError(
                f"scales {list(scales)} were given; expected one or more from {SMALLEST_SCALE} to {LARGEST_SCALE:g}."
            )
        self.views, self.scales = views, tuple(float(scale) for scale in scales)
        super().__init__([segmenter], _wider_halo_px(segmenter.halo_px, self.scales), tiling)

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Probabilities, (N, K, h, w) float32, summing to 1 over K."""
        height, width = batch.shape[2] - 2 * margin_px, batch.shape[3] - 2 * margin_px
        total = np.zeros((len(batch), self.legend.num_channels, height, width), np.float32)
        for scale in self.scales:
            image = batch if scale == 1 else resize(batch, _scaled_shape(batch.shape[2:], scale))
            for turns, mirrored in VIEWS[self.views]:
                # a margin is cut where pixels are those of the batch: scaled ones do not lie on them
                cut_px = margin_px if scale == 1 else 0
                back = turned_proba(self.segmenter, image, turns, mirrored=mirrored, margin_px=cut_px)
                total += back if scale == 1 else _cut(resize(back, batch.shape[2:]), margin_px)
        total /= np.float32(len(self.scales) * len(VIEWS[self.views]))
        return total


def turned_proba(
    segmenter: Segmenter, batch: Batch, turns: int, *, mirrored: bool = False, margin_px: int = 0
) -> FloatImage:
    """Probabilities, (N, K, h, w) float32, of a batch that is seen turned and mirrored as in `VIEWS`, and turned back."""
    view = np.rot90(batch, turns, axes=(2, 3))
    proba = segmenter.predict_proba(np.ascontiguousarray(view[..., ::-1] if mirrored else view), margin_px=margin_px)
    return np.rot90(proba[..., ::-1] if mirrored else proba, -turns, axes=(2, 3))


def _wider_halo_px(halo_px: int, scales: Sequence[float]) -> int:
    """Halo of the views, where the segmenter needs `halo_px` in each of them."""
    smallest = min(*scales, 1.0)
    return math.ceil(halo_px / smallest) + (0 if set(scales) == {1.0} else math.ceil(REACH_PX / smallest))


def resize(images: FloatImage, shape: tuple[int, int]) -> FloatImage:
    """Return (N, C, H, W) float32 resampled to another number of pixels over the same ground: bilinear, averaged on smaller images."""
    import torch
    import torch.nn.functional as F

    smaller = shape[0] < images.shape[2]
    tensor = torch.from_numpy(np.ascontiguousarray(images))
    return np.asarray(F.interpolate(tensor, shape, mode="bilinear", align_corners=False, antialias=smaller).numpy())


def _scaled_shape(shape: tuple[int, ...], scale: float) -> tuple[int, int]:
    height, width = (max(1, round(side * scale)) for side in shape)
    return height, width


def _cut(images: FloatImage, margin_px: int) -> FloatImage:
    height, width = images.shape[2:]
    return images[:, :, margin_px : height - margin_px, margin_px : width - margin_px]


def ensemble_run(
    runs: Sequence[Run],
    *,
    vote: str = "mean",
    views: str | None = None,
    scales: Sequence[float] = (1.0,),
    dropout_passes: int = 0,
    deviation_factor: float = 1.0,
) -> Run:
    """Return one run, not saved, of several runs and several views of each tile.

    The same runs, vote, views and scales have the same card, so that a prediction with them can be resumed.

    Errors: InputError (runs that differ in legend or inputs, unknown votes and views, scales outside 0.25 … 4, and networks without
    dropout).

    Parameters
    ----------
    runs : loaded runs, at least one
    vote : "mean" or "majority", see `Ensemble`
    views, scales
        See `TestTimeAugmentation`. By default views follow the recipe of the first run: "half-turn" for buildings learnt
        from the miniature world, else "none".
    dropout_passes, deviation_factor : of each run, see `segmenters.dropout.DropoutSegmenter`

    Returns
    -------
    The first run itself if there is nothing to combine.
    """
    if vote not in VOTES:  # a single run has no ensemble, which would refuse it
        raise InputError(f"vote {vote!r} is unknown. Choose mean or majority.")
    first = runs[0]
    own = own_views(first.recipe, first.segmenter.legend.name)
    views = own if views is None else views
    members: list[Segmenter] = [run.segmenter for run in runs]
    sampling: dict[str, Any] = {}
    if dropout_passes or deviation_factor != 1:
        from deepnets4eo.segmenters.dropout import DropoutSegmenter

        members = [DropoutSegmenter(member, dropout_passes, deviation_factor) for member in members]
        sampling = {"dropout_passes": dropout_passes, "deviation_factor": deviation_factor}
    segmenter = members[0] if len(runs) == 1 else Ensemble(members, vote)
    if views != "none" or tuple(scales) != (1.0,):
        segmenter = TestTimeAugmentation(segmenter, views, scales=scales)
    if segmenter is first.segmenter and views == own:
        return first
    card = {
        "runs": [hash_of(run.card) for run in runs],
        "vote": vote,
        "views": views,
        "scales": list(scales),
    } | sampling
    return Run(first.folder, segmenter, first.recipe, card)
