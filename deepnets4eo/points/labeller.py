"""Common parts of all labellers of points, and the labels of a tile from their scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError, RunError, name_hint
from deepnets4eo.files import read_json, read_yaml, sha256
from deepnets4eo.plugins import load_plugin, plugins_of
from deepnets4eo.points.cloud import PointCloud

if TYPE_CHECKING:
    from deepnets4eo.points.files import CloudFile

CENT = 100  # probability and entropy are stored in hundredths

CARD, RECIPE = "card.json", "recipe.yaml"


@runtime_checkable
class PointLabeller(Protocol):
    """Labels points: the rules, a forest, SnapNet.

    Attributes
    ----------
    legend : the classes; their values are the codes written to files
    halo_m : how far around a tile points matter for the scores within it, in metres
    needs : measurements of a `PointCloud` that it cannot do without, e.g. `("colour",)`
    """

    @property
    def legend(self) -> Legend:
        """The classes."""
        ...

    @property
    def halo_m(self) -> float:
        """Return the distance around a tile within which points matter, in metres."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Measurements that it cannot do without."""
        ...

    def scores(self, cloud: PointCloud) -> NDArray[np.float32]:
        """Return probabilities (N, K) float32 of the K classes of the legend at the N points of a tile and its halo.

        Rows sum to 1, or are NaN if the labeller has no evidence.
        """
        ...


@dataclass(frozen=True)
class LoadedLabeller:
    """A labeller and the source that it was loaded from. A `PointLabeller` itself: it labels as the labeller does.

    Attributes
    ----------
    labeller : computes the scores
    source : what `load_labeller` takes to load the same labeller
    run_digest : SHA-256 of the card of the run; None for a labeller that needs no training
    """

    labeller: PointLabeller
    source: str
    run_digest: str | None = None

    @property
    def legend(self) -> Legend:
        """The classes."""
        return self.labeller.legend

    @property
    def halo_m(self) -> float:
        """Return the distance around a tile within which points matter, in metres."""
        return self.labeller.halo_m

    @property
    def needs(self) -> tuple[str, ...]:
        """Measurements that it cannot do without."""
        return self.labeller.needs

    def scores(self, cloud: PointCloud) -> NDArray[np.float32]:
        """Return the probabilities (N, K) of the labeller."""
        return self.labeller.scores(cloud)

    def check_values(self, file: CloudFile) -> None:
        """Let the labeller report values of a file that are of another kind than the values of its training."""
        check_values(self.labeller, file)


def check_values(labeller: PointLabeller, file: CloudFile) -> None:
    """Let a labeller that has the values of its training report values of a file that are of another kind."""
    if (check := getattr(labeller, "check_values", None)) is not None:
        check(file)


def load_labeller(source: str | Path) -> LoadedLabeller:
    """Return a labeller of points.

    Parameters
    ----------
    source : a run folder, or the name of a labeller that needs no training: `rules`

    Returns
    -------
    Ready to give scores.

    Raises
    ------
    InputError
        There is no such folder or name.
    RunError
        The folder is no run, or one that labels no points.
    """
    known = plugins_of("point_labellers")
    folder = Path(source)
    if not folder.is_dir():
        if str(source) in known:
            return LoadedLabeller(_checked(load_plugin(known[str(source)])(), source), str(source))
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
    labeller = _checked(load_plugin(known[kind])(folder), folder)
    return LoadedLabeller(labeller, str(folder), sha256(folder / CARD))


def _kinds(folder: Path) -> list[str]:
    """Return the kind of a run and the task that trained it."""
    if not (folder / CARD).is_file():
        raise RunError(f"{folder} has no {CARD}: it is no run, or one whose training did not end. Train it again.")
    card = read_json(folder / CARD)
    recipe = read_yaml(folder / RECIPE) if (folder / RECIPE).is_file() else {}
    kinds = [part.get(key) for part, key in ((card, "kind"), (recipe, "task")) if isinstance(part, dict)]
    return [str(kind) for kind in kinds if kind] or ["unknown"]


def load_again(labeller: PointLabeller) -> str:
    """Return what `load_labeller` takes for the same labeller. Errors: InputError if it was not loaded."""
    if not isinstance(labeller, LoadedLabeller):
        raise InputError(
            f"a {type(labeller).__name__} that was not loaded cannot work in other processes. Save it as a run and give that "
            "(load_labeller), or label in this process."
        )
    return labeller.source


def _checked(labeller: Any, source: str | Path) -> PointLabeller:
    if not isinstance(labeller, PointLabeller):
        raise RunError(f"{source} gave a {type(labeller).__name__}, expected a labeller of points (PointLabeller).")
    return labeller


def label_tile(labeller: PointLabeller, cloud: PointCloud, own: int) -> NDArray[np.uint8]:
    """Return (own, 4) uint8 for the first `own` points of a cloud: code (255: none), probability and entropy in
    hundredths, and 1 where the label is copied from the nearest known point.

    Noise keeps its code; withheld points have none. Raises InputError for scores of another shape.
    """
    counted = cloud.counted
    if counted.all():
        return _labels(labeller, cloud, own)
    result = np.zeros((own, 4), np.uint8)
    result[:, 0] = VOID
    noise = cloud.noise[:own]
    if cloud.classification is not None:
        result[noise, 0] = cloud.classification[:own][noise]
        result[noise, 1] = CENT
    if counted[:own].any():
        result[counted[:own]] = _labels(labeller, cloud.subset(counted), int(counted[:own].sum()))
    return result


def _labels(labeller: PointLabeller, cloud: PointCloud, own: int) -> NDArray[np.uint8]:
    """(own, 4) labels of points that all count."""
    scores = labeller.scores(cloud)
    expected = (len(cloud), labeller.legend.num_classes)
    if scores.shape != expected:
        raise InputError(f"the labeller returned scores {scores.shape}, expected {expected}: points and classes.")
    known: NDArray[np.bool_] = np.asarray(np.isfinite(scores).all(axis=1))
    source = _nearest_known(cloud.xyz, known, own)
    result = np.zeros((own, 4), np.uint8)
    labelled = source >= 0
    result[~labelled, 0] = VOID
    taken = scores[:own] if known[:own].all() else scores[source[labelled]]
    best = taken.argmax(axis=1)
    result[labelled, 0] = labeller.legend.from_index()[best]
    result[labelled, 1] = _hundredths(taken[np.arange(len(taken)), best])
    result[labelled, 2] = _hundredths(_entropy(taken))
    result[:, 3] = labelled & ~known[:own]
    return result


def _nearest_known(xyz: NDArray[np.float64], known: NDArray[np.bool_], own: int) -> NDArray[np.int64]:
    """(own,) the point whose scores the first points take: itself where known, −1 for none."""
    source = np.arange(own)
    lost = np.flatnonzero(~known[:own])
    if not len(lost):
        return source
    if not known.any():
        source[lost] = -1
        return source
    from scipy.spatial import cKDTree

    candidates = np.flatnonzero(known)
    source[lost] = candidates[cKDTree(xyz[candidates]).query(xyz[lost])[1]]
    return source


def _entropy(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Entropy of probabilities (n, K) as a share of log K."""
    positive = np.clip(scores, np.float32(1e-12), np.float32(1))
    return np.asarray(-(positive * np.log(positive)).sum(axis=1) / np.log(max(scores.shape[1], 2)), np.float32)


def _hundredths(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.round(np.clip(values, 0, 1) * CENT).astype(np.uint8)
