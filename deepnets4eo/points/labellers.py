"""Labellers of points by name: the run folders that training wrote, and labellers without training such as `rules`.

Branches and other packages announce them under the entry points `deepnets4eo.point_labellers` (see `plugins`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepnets4eo.errors import InputError, RunError, name_hint
from deepnets4eo.files import read_json, read_yaml, sha256
from deepnets4eo.plugins import POINT_LABELLERS, load_plugin, plugins_of
from deepnets4eo.points.labeller import PointLabeller

CARD, RECIPE = "card.json", "recipe.yaml"
DIGEST = "_run_digest"  # attribute of labellers that were loaded from a folder


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
