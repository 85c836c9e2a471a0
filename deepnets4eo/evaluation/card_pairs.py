"""Predicted tiles of a dataset scored against its reference, under one of the protocols of its card.

Takes a folder of predictions named by tile, and the dataset; returns pairs of files, or the report of their scores.
Refuses tiles without a prediction or with several, and protocols whose reference is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deepnets4eo.cards.dataset_card import TEST, DatasetCard, ScoringProtocol
from deepnets4eo.cards.dataset_reader import abbreviate, check_same_bands, open_dataset, strip_leading_zeros
from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.scoring import Intervals, Protocol, evaluate_pairs
from deepnets4eo.evaluation.tile_pairs import ENDINGS
from deepnets4eo.rasters.scene import LABELS, Layer

ERODED = "labels_eroded"
IMAGE = "image"

Pair = tuple[Path | list[Path], Path]


@dataclass(frozen=True)
class DatasetPairs:
    """(prediction, reference) of the tiles of one part; several predictions where one reference serves many tiles."""

    pairs: list[Pair]
    tiles: tuple[str, ...]
    split: str
    part: str
    reference: str

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for the report."""
        return {"split": self.split, "part": self.part, "reference": self.reference, "tiles": list(self.tiles)}


def card_protocol(name: str, scoring: ScoringProtocol) -> Protocol:
    """Returns the rules of a card's protocol as `evaluate` takes them.

    Parameters
    ----------
    name
        DATASET/PROTOCOL, for the report.
    scoring
        The protocol in the card.

    Returns
    -------
    Protocol
        Erosion and ignored classes of the card, and its entry for the report.
    """
    card = scoring.model_dump(mode="json", exclude_none=True)
    return Protocol(name=name, erode_px=scoring.erode_px, ignored=scoring.ignored_classes, card=card)


def evaluate_dataset(
    card: DatasetCard | str | Path,
    root: str | Path,
    predictions: str | Path,
    protocol: str | None = None,
    *,
    layout: Mapping[str, str] | None = None,
    rules: Callable[[Protocol], Protocol] = lambda protocol: protocol,
    intervals: Intervals | None = None,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Scores predicted tiles on the test part of a dataset.

    Parameters
    ----------
    card
        Dataset card: an object, a name or the path of a YAML file.
    root
        Folder of the dataset.
    predictions
        Folder of the predicted tiles, named as in `dataset_pairs`.
    protocol
        Name of a protocol of the card; by default its first.
    layout
        Layer → path pattern, where files lie elsewhere than in the card.
    rules
        Function that changes the card's protocol, for example the legend of the files.
    intervals
        Bootstrap over tiles; by default none.
    progress
        Function that is called with the share of the work that is done, 0–1.

    Returns
    -------
    dict
        The JSON report, with the matrices of the tiles summed. `published` holds the card's figures under the protocol,
        method → scores.

    Raises
    ------
    InputError
        A tile has no prediction, several predictions or no reference.
    LabelError
        A raster has labels that the legend does not have.

    Examples
    --------
    ```python
    report = evaluate_dataset("isprs_vaihingen", "vaihingen/", "predicted/", "deepnetsforeo")
    print(report["overall_accuracy"], report["published"])
    ```
    """
    card = card if isinstance(card, DatasetCard) else DatasetCard.load(card)
    name = protocol or next(iter(card.protocols), "")
    scoring = card.protocol(name)
    matched = dataset_pairs(card, root, predictions, scoring, layout=layout)
    chosen = rules(card_protocol(f"{card.name}/{name}", scoring))
    if chosen.reference_legend is None:
        for _, truth in matched.pairs:
            check_same_bands(card, matched.reference, truth, Layer.open(truth, labels=True).count)
        if card.legend != scoring.legend:
            chosen = replace(chosen, reference_legend=Legend.load(card.legend))
    result = evaluate_pairs(matched.pairs, scoring.legend, chosen, intervals=intervals, progress=progress).to_dict()
    result["protocol"]["dataset"] = matched.to_dict()
    rows = {method: one for method, one in card.published.items() if one.protocol == name}
    return result | {"published": {method: one.model_dump(exclude_defaults=True) for method, one in rows.items()}}


def dataset_pairs(
    card: DatasetCard,
    root: str | Path,
    predictions: str | Path,
    protocol: ScoringProtocol,
    *,
    part: str = TEST,
    layout: Mapping[str, str] | None = None,
) -> DatasetPairs:
    """Pairs the predictions of a part's tiles with the reference of a protocol.

    Parameters
    ----------
    card
        The dataset card.
    root
        Folder of the dataset.
    predictions
        Folder of rasters named by tile id (`5.tif`, `tile_3.tif`, `Val-Rural-2522.png`) or by the name of the tile's
        image or labels (`top_mosaic_09cm_area5_class.tif`), or of folders `5/labels.tif` as predict writes them.
    protocol
        The protocol in the card. Where it scores without borders and has no radius, the eroded label files are the
        reference.
    part
        Part of the protocol's split, such as "test".
    layout
        Layer → path pattern, where files lie elsewhere than in the card.

    Returns
    -------
    DatasetPairs
        (prediction, reference) of each tile.

    Raises
    ------
    InputError
        A tile has no prediction, several predictions or no reference.
    """
    reference = ERODED if protocol.reference == "eroded" and not protocol.erode_px else LABELS
    card = card.with_layout(layout or {})
    if reference not in card.layout:
        raise InputError(
            f"{card.name} has no layer {reference}, which the protocol scores against. "
            f"Say where it lies: --layer {reference}=PATTERN."
        )
    split = protocol.split if protocol.split in card.splits else None
    references = open_dataset(card, root, split=split, part=part, layers=[reference])
    images = _images(card, Path(root), split, part)
    candidates = list(_candidates(Path(predictions)))
    predicted = {
        tile: _prediction(tile, [sources[reference], *images.get(tile, [])], candidates, Path(predictions))
        for tile, sources in references.items()
    }
    missing = [tile for tile, path in predicted.items() if path is None]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(predicted)} tiles have no prediction in {predictions}: {abbreviate(missing)}. "
            f"Name each by its tile, for example {missing[0].replace('/', '-')}.tif."
        )
    grouped: dict[Path, list[Path]] = {}
    for tile, path in predicted.items():
        grouped.setdefault(references[tile][reference], []).append(path)  # type: ignore[arg-type]
    pairs: list[Pair] = [(paths[0] if len(paths) == 1 else paths, truth) for truth, paths in grouped.items()]
    return DatasetPairs(pairs, tuple(predicted), card.split(split)[0], part, reference)


def _images(card: DatasetCard, root: Path, split: str | None, part: str) -> dict[str, list[Path]]:
    """Returns files of the image layer, whose names predictions often have; scoring does not need them."""
    if IMAGE not in card.layout:
        return {}
    try:
        tiles = open_dataset(card, root, split=split, part=part, layers=[IMAGE])
    except InputError:
        return {}
    return {tile: list(sources.values()) for tile, sources in tiles.items()}


def _candidates(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yields predictions with the words of their names; labels.tif has the name of its folder."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder. Give the one that holds the predicted tiles.")
    for path in sorted(folder.iterdir()):
        if path.is_dir() and (path / "labels.tif").is_file():
            yield path / "labels.tif", _words(path.name)
        elif path.suffix.lower() in ENDINGS:
            yield path, _words(path.stem)


def _prediction(
    tile: str, tile_files: list[Path], candidates: list[tuple[Path, list[str]]], folder: Path
) -> Path | None:
    """Returns the file whose name is the tile's or begins with it, or with the name of one of its files."""
    names = [_words(tile), ["tile", *_words(tile)], _words(tile.rpartition("/")[2])]
    names += [_words(path.stem) for path in tile_files]
    for exact in (True, False):
        for name in names:
            fits = [path for path, words in candidates if words == name or (not exact and words[: len(name)] == name)]
            if len(fits) > 1:
                raise InputError(
                    f"tile {tile} has several predictions in {folder}: {abbreviate([path.name for path in fits])}. Keep one."
                )
            if fits:
                return fits[0]
    return None


def _words(name: str) -> list[str]:
    return [strip_leading_zeros(word) for word in re.split(r"[_\-. /]+", name.lower())]
