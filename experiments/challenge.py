"""Buildings that are damaged or not: the sites of a challenge, a vote of methods, scores and submissions.

Reads the layout of the challenge "AI for Earthquake Response" as the published code of its first place does, since the data
themselves are handed out to participants only: `Annotations/All/*.gpkg` with a column `damaged` (1, 0 or nothing), and folders
of scenes with one raster a band in `Optical_Calibration/`. Which scenes show a site is in no file: the caller says it. Refuses
missing and doubled scenes, other labels, and submissions that lack a building or have one twice."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.cards import abbreviate
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.vocabulary import DAMAGED
from deepnets4eo.errors import InputError, LabelError, name_hint
from deepnets4eo.footprints import Footprints, read_footprints, read_table
from deepnets4eo.footprints.ids import ROW_KEY, make_ids
from deepnets4eo.grid import apply_affine
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.options import Section
from deepnets4eo.outputs import count_of
from deepnets4eo.polygons import write_vector
from deepnets4eo.rasters import Layer

log = logging.getLogger(__name__)

ANNOTATIONS = "Annotations/All"
BAND_FOLDER, BANDS = "Optical_Calibration", ("red", "green", "blue")
LABEL_COLUMN = "damaged"
UNKNOWN = -1  # neither damaged nor undamaged: not labelled, or not assessed


class SiteFiles(Section):
    """Where a site's files are.

    Parameters
    ----------
    footprints : name of the file in Annotations/All
    post : name of the folder of the scene after the event, wherever it lies
    pre : the same of the scene before it; None for a site with post alone
    phase : of the challenge, 1 or 2
    """

    footprints: str
    post: str
    pre: str | None = None
    phase: Literal[1, 2] = 1


@dataclass(frozen=True)
class ChallengeSite:
    """One site of a challenge.

    Parameters
    ----------
    name : the name of its row
    path : the file of the footprints, which a submission is written like
    footprints : N buildings
    labels : (N,) int8, 1 damaged, 0 not, -1 not labelled or not shown by the post image
    pre, post : images; pre is None for a site with post alone
    """

    name: str
    path: Path
    footprints: Footprints
    labels: NDArray[np.int8]
    pre: Layer | None
    post: Layer


def read_site(root: str | Path, name: str, files: SiteFiles) -> ChallengeSite:
    """Open the images and footprints of a site.

    Parameters
    ----------
    root : the challenge's folder, or its `Training` or `Testing`
    name : the name of its row
    files : its file of footprints and its scenes

    Returns
    -------
    ChallengeSite
        Images are opened, and read when they are used.

    Raises
    ------
    InputError, GridError, LabelError
        There is no such file or scene, or two of them; a scene lacks a band or its bands differ; labels are not 0 and 1.

    Examples
    --------
    ```python
    site = read_site("charter", "adiyaman", SiteFiles(footprints="adiyaman_testing.gpkg", post="DS_…-calibrated"))
    ```
    """
    folder = Path(root)
    path = _only_one(folder, [*folder.rglob(f"{ANNOTATIONS}/*.gpkg")], files.footprints, "file of footprints")
    post = _open_scene(folder, files.post)
    pre = None if files.pre is None else _open_scene(folder, files.pre)
    footprints = read_footprints(path, image=post.grid)
    labels = np.where(_shown_by(post, footprints), read_labels(footprints), np.int8(UNKNOWN))
    return ChallengeSite(name, path, footprints, labels.astype(np.int8), pre, post)


def _shown_by(image: Layer, footprints: Footprints) -> NDArray[np.bool_]:
    """(N,) whether the middle of each building lies within an image: sites may lie in several scenes."""
    middles = footprints.frame.geometry.representative_point()
    own = middles if image.grid.crs is None or middles.crs is None else middles.to_crs(str(image.grid.crs))
    columns, rows = apply_affine(~image.grid.affine, np.column_stack([own.x, own.y])).T
    height, width = image.shape
    return np.asarray((columns >= 0) & (columns <= width) & (rows >= 0) & (rows <= height))


def read_labels(footprints: Footprints) -> NDArray[np.int8]:
    """Labels (N,) of the column `damaged`: 1 damaged, 0 not, -1 for buildings without one, or all where there is no such column.

    Parameters
    ----------
    footprints : with the columns of their file

    Returns
    -------
    NDArray
        In the order of the footprints.

    Raises
    ------
    LabelError
        A value is neither 0, 1 nor missing.
    """
    columns = {str(name).lower(): name for name in (() if footprints.attributes is None else footprints.attributes)}
    if footprints.attributes is None or LABEL_COLUMN not in columns:
        log.warning("%s has no column %r: none of its buildings is labelled", footprints.source, LABEL_COLUMN)
        return np.full(len(footprints), UNKNOWN, np.int8)
    values = footprints.attributes[columns[LABEL_COLUMN]]
    numbers = pd.to_numeric(values.replace("", None), errors="coerce")
    strange = values[(numbers.isna() & values.notna() & (values != "")) | (numbers.notna() & ~numbers.isin([0, 1]))]
    if len(strange):
        kinds = abbreviate(sorted({str(value) for value in strange}))
        raise LabelError(
            f"{footprints.source}: {count_of(len(strange), 'label')} in the column {LABEL_COLUMN!r} are {kinds}, expected 1 "
            "(damaged), 0 (not) or nothing. Give the file of the challenge, or map the grades to 0 and 1."
        )
    return numbers.fillna(UNKNOWN).to_numpy(np.int8)


def calls_of(buildings: pd.DataFrame, ids: Sequence[str]) -> NDArray[np.int8]:
    """What a damage map says of buildings: 1 major damage or worse, 0 less, -1 not assessed or not in the map.

    Parameters
    ----------
    buildings : `id`, `damage` and `status` of a map
    ids : N buildings

    Returns
    -------
    NDArray
        (N,) int8, in the order of the ids.
    """
    buildings = Buildings(buildings).with_likeliest_grades().frame
    known = buildings[Buildings(buildings).assessed].set_index("id")["damage"].isin(DAMAGED).astype(int)
    return np.asarray(known.reindex(list(ids), fill_value=UNKNOWN), np.int8)


def calls_for_f1(probability: NDArray[np.float64]) -> NDArray[np.int8]:
    """Call those buildings damaged that make the expected F1 greatest, by their probabilities alone.

    A grade says whether damage is likelier than not. For F1 more calls are right where few buildings are sure: the best threshold is half of
    the F1 that can be reached (Lipton et al., ECML PKDD 2014). The expected F1 of the k likeliest buildings is taken as
    2 × the sum of their probabilities / (k + the sum of all).

    Parameters
    ----------
    probability : (N,) of major damage or worse, as `damage_prob` of a map; NaN for buildings that were not assessed

    Returns
    -------
    NDArray
        (N,) int8: 1, 0, or -1 for buildings without a probability.

    Examples
    --------
    >>> calls_for_f1(np.array([0.4, 0.35, 0.02, np.nan])).tolist()
    [1, 1, 0, -1]
    """
    calls = np.where(np.isnan(probability), UNKNOWN, 0).astype(np.int8)
    order = np.argsort(-probability, kind="stable")[: int((calls == 0).sum())]
    sums = np.cumsum(probability[order])
    if len(order):
        expected = 2 * sums / (np.arange(1, len(order) + 1) + sums[-1])
        calls[order[: int(expected.argmax()) + 1]] = 1
    return calls


def majority(votes: NDArray[np.int8]) -> NDArray[np.int8]:
    """The call of most methods for each building; where as many say yes as no, the first one that knows the building decides.

    Parameters
    ----------
    votes : (V, N) int8, calls of V methods: 1, 0 or -1 for no vote

    Returns
    -------
    NDArray
        (N,) int8; -1 where none voted.

    Examples
    --------
    >>> majority(np.array([[1, 0, -1, -1], [1, 1, 1, -1], [0, -1, 0, -1]], np.int8)).tolist()
    [1, 0, 1, -1]
    """
    lead = (votes == 1).sum(axis=0) - (votes == 0).sum(axis=0)
    first = np.take_along_axis(votes, (votes != UNKNOWN).argmax(axis=0)[None], axis=0)[0]
    return np.where(lead > 0, 1, np.where(lead < 0, 0, first)).astype(np.int8)


def damaged_f1(labels: NDArray[np.int8], calls: NDArray[np.int8]) -> float:
    """F1 of the damaged class over the labelled buildings, as the challenge scores a site.

    Parameters
    ----------
    labels : (N,) int8, 1, 0 or -1 for no label
    calls : (N,) int8, 1, 0 or -1, which counts as 0, since a submission has no third value

    Returns
    -------
    float
        0–1; NaN where no building is damaged or called so.

    Examples
    --------
    >>> damaged_f1(np.array([1, 1, 0, -1], np.int8), np.array([1, -1, 0, 1], np.int8)).__round__(3)
    0.667
    """
    labelled = labels != UNKNOWN
    return float(
        ConfusionMatrix(2).update(labels[labelled].astype(np.uint8), (calls == 1)[labelled].astype(np.uint8)).f1[1]
    )


def write_submission(
    footprints: str | Path, calls: Mapping[str, int] | Sequence[tuple[str, int]], out: str | Path
) -> Path:
    """Write the file of a site as the first place handed it in: its own rows and columns, and `damaged` of every row.

    Parameters
    ----------
    footprints : the challenge's file of the site
    calls : id of a building, as `read_footprints` gives it, and 1 or 0; every row of the file once
    out : folder; the file keeps its name

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    InputError
        Buildings are missing, given twice or not in the file, or a call is neither 0 nor 1.
    """
    table, path = read_table(footprints), Path(footprints)
    if (Path(out) / path.name).exists() and (Path(out) / path.name).samefile(path):
        raise InputError(f"{path} is the challenge's own file. Write the submission into another folder.")
    rows = list(calls.items()) if isinstance(calls, Mapping) else list(calls)
    ids = make_ids(table, None, str(path)).texts.tolist()
    known, counts = set(ids), Counter(name for name, _ in rows)
    faults = {
        "are missing": [name for name in ids if name not in counts],
        "are given twice": [name for name, count in counts.items() if count > 1],
        "are not in the file": [name for name in counts if name not in known],
        "are called neither 0 nor 1": [name for name, call in rows if call not in (0, 1)],
    }
    lines = [f"{len(names)} {what} ({abbreviate(names, 3)})" for what, names in faults.items() if names]
    if lines:
        raise InputError(f"of the {len(ids)} buildings of {path}, {'; '.join(lines)}. Call each of them once, 0 or 1.")
    by_id = dict(rows)
    filled = table.drop(columns=[name for name in table if str(name).lower() == LABEL_COLUMN])
    if table.index.name == ROW_KEY:
        filled["fid"] = table.index  # the name by which GDAL takes keys
    filled[LABEL_COLUMN] = np.array([by_id[name] for name in ids], np.int32)
    return write_vector(filled, Path(out) / path.name)


def _open_scene(root: Path, scene: str) -> Layer:
    """Red, green and blue of a scene's folder."""
    folder = _only_one(root, [path.parent for path in root.rglob(BAND_FOLDER)], scene, "scene")
    files = [folder / BAND_FOLDER / f"r-{band}.tif" for band in BANDS]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise InputError(f"{folder / BAND_FOLDER} lacks {', '.join(missing)}. Fetch the scene again, or name another.")
    return Layer.stack(files).with_names(BANDS)


def _only_one(root: Path, paths: Sequence[Path], name: str, what: str) -> Path:
    """The file or folder of that name among these; refuses none and several."""
    if not root.is_dir():
        raise InputError(f"{root} is not a folder. Give the one that holds the challenge's Training and Testing.")
    same = sorted(path for path in paths if path.name == name)
    if len(same) > 1:
        raise InputError(
            f"{root} holds the {what} {name} twice: {same[0]} and {same[1]}. Give the folder of one phase."
        )
    if not same:
        names = sorted({path.name for path in paths})
        hint = name_hint(name, names, "")
        raise InputError(f"{root} has no {what} {name}, but {abbreviate(names) or 'none at all'}. {hint}".rstrip())
    return same[0]
