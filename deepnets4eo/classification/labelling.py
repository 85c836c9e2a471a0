"""Labels and embeddings of images by runs of the task `images`, and human labels that are probably wrong.

Refuses runs of other tasks, and images whose bands, size or unit differ from the training images.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Mask
from deepnets4eo.cards import SplitPart
from deepnets4eo.classification.images import ImageList, check_unit, prepare_images, read_pixels
from deepnets4eo.classification.readers import BETWEEN, ImageData, list_images, list_unlabelled
from deepnets4eo.device import choose
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import rank_wrong_labels
from deepnets4eo.files import check_overwrite, read_json, write_text
from deepnets4eo.outputs import csv_text
from deepnets4eo.segmenters import NetworkSegmenter, Run

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

AT_ONCE = 256  # images that are scored together
COLUMNS = ["rank", "image", "labelled", "suggested", "margin"]


def classify_images(run: Run, images: ImageList, *, num_workers: int = 2) -> NDArray[np.float32]:
    """Label whole images with a run.

    Raises InputError for a run of another task, and for images whose bands, size or unit differ from the training images.

    Parameters
    ----------
    run : a run of the task images
    images : images to label, with the bands and size of the training images
    num_workers : threads that read ahead

    Returns
    -------
    (N, K) probabilities: with one label they sum to 1, with several labels each probability is independent.
    """
    return _probabilities(_outputs(run, images, "patch_scores", num_workers), several=_has_several(run))


def label_images(
    run: Run,
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    device: str = "auto",
    num_workers: int = 2,
    overwrite: bool = False,
) -> int:
    """Label whole images with a run, and write a table.

    Raises InputError (as `list_images` and `classify_images`); OutputError (the table exists, or cannot be written).

    Parameters
    ----------
    run : a run of the task images
    sources : folders, tables or archives of images as in training; labels in them are not read
    out : the table (.csv): `image`, `label` (several with `;` between), `probability` of the likeliest, and a column per class
    device : see `device.choose`
    num_workers : threads that read ahead
    overwrite : replace a table that exists

    Returns
    -------
    Number of images.
    """
    check_overwrite(Path(out), overwrite=overwrite)
    _network_of(run).to(choose(device, "float32"))
    own = {"folders": tuple(map(str, sources)), "unlabelled": (), "val": (), "test": (), "layout": "auto", "tile_px": 0}
    images = list_unlabelled(ImageData(**(run.recipe["data"] | own)))
    probabilities, names = classify_images(run, images, num_workers=num_workers), run.legend.names
    chosen = np.eye(len(names), dtype=bool)[probabilities.argmax(axis=1)]
    if _has_several(run):
        chosen = probabilities >= 0.5
    return write_probabilities(out, images.names, names, probabilities, chosen)


def write_probabilities(
    out: str | Path, images: Sequence[str], classes: Sequence[str], probabilities: NDArray[np.float32], chosen: Mask
) -> int:
    """Write a row per image: the chosen classes (N, K), the largest probability, and the probabilities (N, K) of all classes; returns N."""
    rows = [
        (image, BETWEEN.join(np.array(classes)[row]), f"{scores.max():.4f}", *(f"{score:.4f}" for score in scores))
        for image, row, scores in zip(images, chosen, probabilities, strict=True)
    ]
    write_text(out, csv_text([("image", "label", "probability", *classes), *rows]))
    return len(rows)


def embed_images(run: Run, images: ImageList, *, num_workers: int = 2) -> NDArray[np.float32]:
    """Embeddings of whole images by a run: what its last layer takes.

    Errors: InputError (as for `classify_images`).

    Parameters
    ----------
    run, images, num_workers : as for `classify_images`

    Returns
    -------
    (N, D), of length 1.
    """
    features = _outputs(run, images, "features", num_workers)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def _probabilities(scores: NDArray[np.floating], *, several: bool) -> NDArray[np.float32]:
    from scipy.special import expit, softmax

    return np.asarray(expit(scores) if several else softmax(scores, axis=1), np.float32)


def _has_several(run: Run) -> bool:
    return run.card["notes"].get("labels") == "several"


def _outputs(run: Run, images: ImageList, method: str, num_workers: int) -> NDArray[np.float32]:
    """Return the output of a method of a run's network for images."""
    from deepnets4eo.classification.bands import check_band_order

    segmenter, bands = _network_of(run), run.inputs.layers["image"].bands
    if not any(name.startswith("band_") for name in (*bands, *images.bands)):
        check_band_order(images.bands, bands, images.names[0])
    parts: list[NDArray[np.float32]] = []
    for rows in np.split(np.arange(len(images)), range(AT_ONCE, len(images), AT_ONCE)):
        pixels = read_pixels(images.take(rows), memory_bytes=np.inf, folder=Path(), workers=num_workers)
        check_unit(pixels, run.inputs, first=not parts)
        parts.append(image_outputs(segmenter, prepare_images(pixels, run.inputs), method))
    return np.concatenate(parts)


def image_outputs(
    segmenter: NetworkSegmenter, prepared: NDArray[np.float32], method: str = "patch_scores"
) -> NDArray[np.float32]:
    """Return (N, K) logits of images (N, C, P, P), scaled as training had them, or what another method of the network makes of them."""
    import torch

    module: Any = segmenter.module
    with torch.no_grad():
        parts = [
            getattr(module, method)(torch.from_numpy(part).to(next(module.parameters()).device)).float().cpu()
            for part in np.split(prepared, range(AT_ONCE, len(prepared), AT_ONCE))
        ]
    return np.asarray(torch.cat(parts).numpy())


def find_wrong_images(run: Run, sources: Sequence[str | Path], *, num_workers: int = 2) -> pd.DataFrame:
    """Rank images whose labels are probably wrong.

    Images whose labels the run was trained on are left out, by their names: a network repeats the errors of its labels.

    A run of frozen features checks all images: its last layer is refitted without each fifth of the images.

    Raises InputError, as `list_images` and `classify_images`; also if no image with a label is left.

    Parameters
    ----------
    run : a run of the task images
    sources : folders, tables or archives with labels, of the layout and bands of training
    num_workers : threads that read ahead

    Returns
    -------
    Table with `rank` (1 is the surest), `image`, `labelled`, `suggested` and `margin` of their probabilities. With several
    labels per image, each label to be added ("no CLASS" is labelled) or removed has a row.
    """
    import pandas as pd

    frozen: Any = getattr(_network_of(run).module, "scores_without_own", None)
    own = {"folders": tuple(map(str, sources)), "unlabelled": (), "val": (), "test": ()}
    images, legend = list_images(ImageData(**(run.recipe["data"] | own)), run.legend)
    learnt = set() if frozen is not None else set(read_json(run.folder / "split.geojson")["images"][SplitPart.train])
    rows = np.flatnonzero(images.labelled & [name not in learnt for name in images.names])
    if not len(rows):
        raise InputError(
            f"{run.folder} learnt from all {int(images.labelled.sum())} labelled images that were given. Give others, or train with another "
            "data.split_seed or a larger data.val_share."
        )
    log.info("%d of %d labelled images are checked; the run learnt from the others", len(rows), images.labelled.sum())
    images = images.take(rows)
    several = _has_several(run)
    if frozen is None:
        probabilities = classify_images(run, images, num_workers=num_workers).astype(float)
    else:
        features = _outputs(run, images, "features", num_workers)
        probabilities = _probabilities(frozen(features, images.targets, several=several), several=several).astype(float)
    suspects = (_wrong_of_several if several else _wrong_of_one)(probabilities, images.targets, legend.names)
    table = pd.DataFrame(suspects, columns=["row", *COLUMNS[2:]]).sort_values("margin", ascending=False, kind="stable")
    table["image"] = [images.names[row] for row in table["row"]]
    table["rank"] = np.arange(1, len(table) + 1)
    return table[COLUMNS].round({"margin": 3}).reset_index(drop=True)


Suspect = tuple[int, str, str, float]  # position, labelled, suggested, margin


def _wrong_of_one(probabilities: NDArray[Any], targets: Mask, names: Sequence[str]) -> list[Suspect]:
    labels = targets.argmax(axis=1)
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    suspects = rank_wrong_labels(probabilities.clip(0, 1), labels)
    rows = zip(suspects.order, suspects.suggested, suspects.margin, strict=True)
    return [(int(row), names[labels[row]], names[other], float(margin)) for row, other, margin in rows]


def _wrong_of_several(probabilities: NDArray[Any], targets: Mask, names: Sequence[str]) -> list[Suspect]:
    """Each class against its absence."""
    wrong: list[Suspect] = []
    for name, present, labels in zip(names, probabilities.T, targets.T, strict=True):
        words = [f"no {name}", name]
        wrong += _wrong_of_one(np.stack([1 - present, present], axis=1), np.stack([~labels, labels], axis=1), words)
    return wrong


def _network_of(run: Run) -> NetworkSegmenter:
    if run.card["notes"].get("task") != "images" or not isinstance(run.segmenter, NetworkSegmenter):
        raise InputError(f"{run.folder} does not label whole images. Give a run of the task images.")
    return run.segmenter
