"""What all labellers of points have in common: a legend, a halo, and scores at points."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError, RunError, name_hint
from deepnets4eo.files import read_json, read_yaml, sha256
from deepnets4eo.plugins import POINT_LABELLERS, load_plugin, plugins_of
from deepnets4eo.points.cloud import PointCloud

CARD, RECIPE = "card.json", "recipe.yaml"
DIGEST = "_run_digest"  # attribute of labellers that were loaded from a folder


@runtime_checkable
class PointLabeller(Protocol):
    """Labels points: the rules, a forest, SnapNet.

    Attributes
    ----------
    legend
        The classes; their values are the codes written to files, e.g. those of ASPRS.
    halo_m
        How far around a tile points matter for the scores within it, in metres.
    needs
        Measurements of a `PointCloud` that it cannot do without, e.g. `("colour",)`.
    """

    @property
    def legend(self) -> Legend:
        """The classes; values are the codes written to files."""
        ...

    @property
    def halo_m(self) -> float:
        """How far around a tile points matter, in metres."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Measurements that it cannot do without."""
        ...

    def scores(self, cloud: PointCloud) -> NDArray[np.float32]:
        """Returns probabilities of the classes at the points.

        Parameters
        ----------
        cloud
            N points: those of a tile and its halo.

        Returns
        -------
        ndarray
            (N, K) float32, each row sums to 1 over the K classes of the legend; rows of NaN where it knows nothing.
        """
        ...


def load_labeller(source: str | Path) -> PointLabeller:
    """Returns a labeller of points.

    Parameters
    ----------
    source
        A run folder, whose kind or training task has a labeller, or the name of one that needs no training: `rules`.

    Returns
    -------
    PointLabeller
        Ready to give scores.

    Raises
    ------
    InputError
        There is no such folder or name.
    RunError
        The folder is no run, or one that labels no points.

    Examples
    --------
    .. code-block:: python

        labeller = load_labeller("rules")
        print(labeller.legend.names, labeller.halo_m)
    """
    known = plugins_of(POINT_LABELLERS)
    folder = Path(source)
    if not folder.is_dir():
        if str(source) in known:
            return _checked(load_plugin(known[str(source)])(), str(source))
        raise InputError(
            f"{source} is neither a run folder nor a labeller of points. "
            f"{name_hint(source, known, 'Give the folder that training wrote, or rules.')}"
        )
    kinds = _kinds(folder)
    kind = next((name for name in kinds if name in known), None)
    if kind is None:
        raise RunError(
            f"{folder} is a run of the kind {kinds[0]}, which labels no points. Give one that was trained on points "
            f"({', '.join(sorted(known)) or 'none is installed'})."
        )
    labeller = _checked(load_plugin(known[kind])(folder), str(folder))
    object.__setattr__(labeller, DIGEST, sha256(folder / CARD))  # also where the class refuses new values
    return labeller


def run_digest(labeller: PointLabeller) -> str | None:
    """Return the SHA-256 of the card of the run that a labeller was loaded from, which names the hashes of its files;
    None where it was not loaded from a folder."""
    return getattr(labeller, DIGEST, None)


def _kinds(folder: Path) -> list[str]:
    """Returns the kind of a run and the task that trained it."""
    if not (folder / CARD).is_file():
        raise RunError(f"{folder} has no {CARD}: it is no run, or one whose training did not end. Train it again.")
    card = read_json(folder / CARD)
    recipe = read_yaml(folder / RECIPE) if (folder / RECIPE).is_file() else {}
    kinds = [part.get(key) for part, key in ((card, "kind"), (recipe, "task")) if isinstance(part, dict)]
    return [str(kind) for kind in kinds if kind] or ["unknown"]


def _checked(labeller: Any, source: str) -> PointLabeller:
    if not isinstance(labeller, PointLabeller):
        raise RunError(f"{source} gave a {type(labeller).__name__}, expected a labeller of points (PointLabeller).")
    return labeller
