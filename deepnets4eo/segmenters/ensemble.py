"""Several segmenters as one: the mean of their probabilities, or the majority of their labels.

Takes segmenters of any kinds with one legend and the same inputs; is a `Segmenter` itself. Refuses members that differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.arrays import Batch, FloatImage
from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.nested import describe_nested, rebuild_member, save_member
from deepnets4eo.segmenters.segmenter import Segmenter
from deepnets4eo.segmenters.wrapped import WrappedSegmenter
from deepnets4eo.tiling import Tiling
from deepnets4eo.tiling.scores import best_class

VOTES = ("mean", "majority")


class Ensemble(WrappedSegmenter):
    """The mean or the majority of several segmenters, pixel by pixel.

    Majority's probabilities are (votes + mean) / (members + 1): they sum to 1, and no mean outweighs a vote.

    Parameters
    ----------
    members
        Segmenters of any kinds with one legend and the same inputs, at least one.
    vote
        "mean": the mean of the members' probabilities; "majority": one vote each for their best class, of equals the
        class with the greater mean.
    tiling
        By default the first member's, with the widest halo of all and as large a core.

    Raises
    ------
    InputError
        No members, an unknown vote, and members that differ in legend or inputs.

    Examples
    --------
    .. code-block:: python

        segmenter = Ensemble([load_run(folder).segmenter for folder in ("runs/a", "runs/b")], "majority")
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
        """Plain values from which `restore` makes the same segmenter again, those of the members nested."""
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
        """The segmenter that `save` wrote. Errors: RunError where a member cannot be rebuilt."""
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
