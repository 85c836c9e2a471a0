"""Predicted tiles paired with their references: by the names of two folders, or as tiles of a dataset under a protocol.

Refuses references without one prediction, predictions counted twice, and protocols whose reference is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from deepnets4eo.cards import (
    DatasetCard,
    Legend,
    Quantity,
    ScoringProtocol,
    SplitPart,
    abbreviate,
    load_protocol,
    open_dataset,
    strip_leading_zeros,
)
from deepnets4eo.display import list_names
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.options import Intervals, ProtocolChanges, ScoredFiles, ValueRules, load_legend
from deepnets4eo.evaluation.scoring import Evaluation, Protocol, evaluate_pairs
from deepnets4eo.evaluation.values import evaluate_values
from deepnets4eo.evaluation.withheld import Withheld
from deepnets4eo.formats import report_left_out, warn_of_left_out
from deepnets4eo.grid import projected_extent
from deepnets4eo.rasters import Layer, Scene

ERODED = "labels_eroded"
IMAGE = "image"

BY_TAGS = ValueRules()
Pair = tuple[Path | list[Path], Path]

MAX_COMMON = (
    1e-3  # share of a reference that another may cover: edges of tiles are rounded, more so between projections
)
ENDINGS = {".tif", ".tiff", ".png", ".jpg", ".jpeg", ".vrt"}


def pair_tiles(predictions: str | Path, references: str | Path) -> list[tuple[Path, Path]]:
    """Pair prediction and reference of two folders by name: `area5.tif` fits `area5_noBoundary.tif`, also the reverse.

    InputError for a reference without one prediction; a prediction with several needs parts with CRS that do not overlap.
    """
    stems = {path: _stem_words(path) for path in _rasters(Path(predictions))}
    pairs = []
    for reference in _rasters(Path(references)):
        words = _stem_words(reference)
        lengths = {path: _common_words(words, other) for path, other in stems.items()}
        best = [path for path, length in lengths.items() if length and length == max(lengths.values())]
        if len(best) != 1:
            names = ", ".join(path.name for path in best) or "none"
            raise InputError(
                f"{reference.name} needs one prediction in {predictions}, found {names}. "
                "Give both the same name, or the longer one the shorter one's name as its beginning."
            )
        pairs.append((best[0], reference))
    if not pairs:
        raise InputError(f"{references} holds no rasters (tif, png, jpg, vrt). Name the folder of the reference tiles.")
    _check_counted_once(pairs)
    _report_unscored(Path(predictions), {*stems} - {prediction for prediction, _ in pairs}, len(stems), str(references))
    for folder, paths in ((Path(predictions), [*stems]), (Path(references), [reference for _, reference in pairs])):
        warn_of_left_out(
            folder, paths, f"Read are {', '.join(sorted(ENDINGS))}. Write the others as GeoTIFF.", deep=False
        )
    return pairs


def _report_unscored(folder: Path, paths: Collection[Path], count: int, references: str) -> None:
    """Name the predictions that no reference belongs to: they are in no score."""
    if paths:
        names = [str(path.relative_to(folder)) for path in paths]
        remedy = f"They are not scored: no file in {references} has such a name. Add the references, or move these files away."
        report_left_out(str(folder), names, count, "prediction", remedy)


def _check_counted_once(pairs: Sequence[tuple[Path, Path]]) -> None:
    references: dict[Path, list[Path]] = {}
    for prediction, reference in pairs:
        references.setdefault(prediction, []).append(reference)
    for prediction, several in references.items():
        if len(several) > 1 and not _are_parts(prediction, several):
            names = list_names([path.name for path in several])
            raise InputError(
                f"{prediction} fits several references in {several[0].parent}: {names}; expected one, or parts of its map that "
                "do not overlap, all with a CRS. Keep one reference of each prediction in the folder, e.g. either the full "
                "or the eroded ones, and give the others predictions of their own."
            )


def _are_parts(prediction: Path, references: Sequence[Path]) -> bool:
    """Return whether the references are next to each other according to their CRSs and the CRS of the prediction."""
    grids = [Layer.open(path, labels=True).grid for path in (*references, prediction)]
    crs = grids[0].crs
    if crs is None or any(grid.crs is None for grid in grids):
        return False
    extents = [projected_extent(grid.extent, crs) for grid in grids[:-1]]
    shapes = np.array([extent.geom for extent in extents if extent is not None])
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    first, second = first[first < second], second[first < second]
    smaller = np.minimum(shapely.area(shapes[first]), shapely.area(shapes[second]))
    common = shapely.area(shapely.intersection(shapes[first], shapes[second]))
    return len(shapes) == len(references) and not (common > MAX_COMMON * smaller).any()


def _rasters(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder, but the other one is. Give two rasters or two folders of tiles.")
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in ENDINGS)


def _stem_words(path: Path) -> list[str]:
    return re.split(r"[_\-. ]+", path.stem.lower())


def _common_words(words: list[str], other: list[str]) -> int:
    """Return the number of leading words that two names share if one name begins with the other, else 0."""
    length = min(len(words), len(other))
    return length if words[:length] == other[:length] else 0


@dataclass(frozen=True)
class DatasetPairs:
    """(prediction, reference) of the tiles of one part; a reference of many tiles is paired with several predictions."""

    pairs: list[Pair]
    tiles: tuple[str, ...]
    split: str
    part: str
    reference: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the report."""
        return {"split": self.split, "part": self.part, "reference": self.reference, "tiles": list(self.tiles)}


def card_protocol(name: str, scoring: ScoringProtocol) -> Protocol:
    """Return the rules of a card's protocol in the form that `evaluate` takes.

    Parameters
    ----------
    name : DATASET/PROTOCOL, for the report
    scoring : the protocol in the card

    Returns
    -------
    Erosion and ignored classes of the card, and its entry for the report.
    """
    card = scoring.model_dump(mode="json", exclude_none=True)
    return Protocol(name=name, erode_px=scoring.erode_px, ignored=scoring.ignored_classes, card=card)


def evaluate_files(
    prediction: Path, reference: Path, scored: ScoredFiles, changes: ProtocolChanges, *, intervals: Intervals,
    progress: Callable[[float], None] | None = None, values: ValueRules = BY_TAGS,
) -> dict[str, Any]:  # fmt: skip
    """Score a raster, or a folder of tiles paired by name, by the legend of options, card or prediction; `values`: a quantity."""
    folders = prediction.is_dir() and reference.is_dir()  # one folder alone is a mosaic
    pairs = pair_tiles(prediction, reference) if folders else [(prediction, reference)]
    if not (scored.legend or scored.protocol):
        first = Layer.open(pairs[0][0])
        if (quantity := values.find_quantity(first.tags, first.source)) is not None:
            _check_value_rules(first.source, quantity, scored, changes, intervals)
            withheld = None if changes.withheld is None else Withheld.of_run(changes.withheld)
            return evaluate_values(
                pairs, quantity, levels=values.edges(quantity.unit), class_map=values.class_map, withheld=withheld,
                progress=progress,
            )  # fmt: skip
    if values != BY_TAGS:
        raise InputError(
            f"{pairs[0][0]} holds classes: --set quantity, levels and class_map are for heights and depth. Leave them out."
        )
    of_card = load_protocol(scored.protocol) if scored.protocol else None
    chosen = load_legend(scored.legend or (of_card.legend if of_card else None)) or Layer.open(pairs[0][0]).legend
    if chosen is None:
        raise InputError(
            f"{pairs[0][0]} has no legend in its tags and no --legend was given. Give its classes: --legend NAME or FILE, such as "
            "runs/NAME.legend.yaml of `train --masks`; or, where it holds heights or depth, --set quantity=height or --set quantity=depth."
        )
    rules = card_protocol(scored.protocol or "", of_card) if of_card is not None else Protocol()
    result = evaluate_pairs(pairs, chosen, rules.apply_changes(changes), intervals=intervals, progress=progress)
    if not (scored.legend or of_card or changes.reference_legend or changes.withheld):
        result.notes[:0] = filter(None, [_assumed_note(pairs[0][1], result)])
    return result.to_dict()


def _assumed_note(reference: Path, result: Evaluation) -> str | None:
    """Return what the values of a reference without a legend were taken for, if most classes of the prediction are not among them."""
    layer, rows = Layer.open(reference, labels=True), result.matrix.matrix.sum(axis=1)
    if layer.legend is not None or layer.count > 1 or 2 * np.count_nonzero(rows) > len(rows):
        return None
    taken = ", ".join(
        f"{result.legend.values[index]} as {result.legend.names[index]!r}" for index in np.flatnonzero(rows)
    )
    return (
        f"{layer.source} states no legend, so that its values are read in the prediction's, {result.legend.name}: {taken}. If they mean other "
        "classes, give --legend FILE, a YAML card of the classes of the reference whose aliases are the prediction's names."
    )


def _check_value_rules(
    source: str, quantity: Quantity, scored: ScoredFiles, changes: ProtocolChanges, intervals: Intervals
) -> None:
    """Refuse rules of classes for a raster of a quantity. Errors: InputError."""
    if scored != ScoredFiles() or changes != ProtocolChanges(withheld=changes.withheld) or intervals.draws:
        raise InputError(
            f"{source} holds {quantity}, not classes: only --withheld, --set levels and --set class_map go with it. Leave "
            "the other rules out."
        )


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
    """Score predicted tiles on the test part of a dataset.

    Errors: InputError (a tile has no prediction, several predictions or no reference); LabelError (labels that the legend
    lacks).

    Parameters
    ----------
    card : dataset card: an object, a name or a YAML file
    root, predictions, layout : as in `dataset_pairs`
    protocol : name of a protocol of the card; by default its first
    rules : changes the card's protocol, for example the legend of the files
    intervals : bootstrap over tiles; by default none
    progress : called with the finished share, 0–1

    Returns
    -------
    The JSON report, with the matrices of the tiles summed; `published` has the scores given in the card, method → scores.
    """
    card = card if isinstance(card, DatasetCard) else DatasetCard.load(card)
    name = protocol or next(iter(card.protocols), "")
    scoring = card.protocol(name)
    matched = dataset_pairs(card, root, predictions, scoring, layout=layout)
    chosen = rules(card_protocol(f"{card.name}/{name}", scoring))
    if chosen.reference_legend is None:
        for _, truth in matched.pairs:
            card.check_bands(matched.reference, truth, Layer.open(truth, labels=True).count)
        if card.legend != scoring.legend:
            chosen = replace(chosen, reference_legend=Legend.load(card.legend))
    result = evaluate_pairs(matched.pairs, scoring.legend, chosen, intervals=intervals, progress=progress).to_dict()
    result["protocol"]["dataset"] = matched.to_dict()
    rows = {method: row for method, row in card.published.items() if row.protocol == name}
    return result | {"published": {method: row.model_dump(exclude_defaults=True) for method, row in rows.items()}}


def dataset_pairs(
    card: DatasetCard,
    root: str | Path,
    predictions: str | Path,
    protocol: ScoringProtocol,
    *,
    part: str = SplitPart.test,
    layout: Mapping[str, str] | None = None,
) -> DatasetPairs:
    """Pair the predictions of a part's tiles with the reference of a protocol.

    Errors: InputError for a tile without a reference or without exactly one prediction, and for a card without the protocol's split.

    Parameters
    ----------
    card : the dataset card
    root : folder of the dataset
    predictions
        Folder of rasters named by tile id (`5.tif`, `tile_3.tif`, `Val-Rural-2522.png`) or by the name of the tile's
        image or labels (`top_mosaic_09cm_area5_class.tif`), or of folders `5/labels.tif` as predict writes them.
    protocol
        The protocol in the card. If it scores without borders and has no radius, the eroded label files are the
        reference.
    part : part of the protocol's split
    layout : layer → path pattern, for files in other places than the card states

    Returns
    -------
    (prediction, reference) of each tile.
    """
    reference = ERODED if protocol.reference == "eroded" and not protocol.erode_px else Scene.label_layer
    card = card.with_layout(layout or {})
    if reference not in card.layout:
        raise InputError(
            f"{card.name} has no layer {reference}, which the protocol scores against. "
            f"Say where it lies: --layer {reference}=PATTERN."
        )
    split = protocol.split
    if split not in card.splits:
        raise InputError(
            f"the protocol is scored on the split {split}, which the card of {card.name} does not have: its splits are "
            f"{', '.join(card.splits) or 'none'}. Lay the test tiles of {split} in a folder of their own and score it without a dataset, by "
            "the legend or by DATASET/PROTOCOL; or add the split to a copy of the card."
        )
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
    unscored = {path for path, _ in candidates} - {*predicted.values()}
    _report_unscored(Path(predictions), unscored, len(candidates), f"the part {part} of {card.name}")
    grouped: dict[Path, list[Path]] = {}
    for tile, path in predicted.items():
        grouped.setdefault(references[tile][reference], []).append(path)  # type: ignore[arg-type]
    pairs: list[Pair] = [(paths[0] if len(paths) == 1 else paths, truth) for truth, paths in grouped.items()]
    return DatasetPairs(pairs, tuple(predicted), split, part, reference)


def _images(card: DatasetCard, root: Path, split: str, part: str) -> dict[str, list[Path]]:
    """Files of the image layer, whose names predictions often have; scoring does not need them."""
    if IMAGE not in card.layout:
        return {}
    try:
        tiles = open_dataset(card, root, split=split, part=part, layers=[IMAGE])
    except InputError:
        return {}
    return {tile: list(sources.values()) for tile, sources in tiles.items()}


def _candidates(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield predictions with the words of their names; labels.tif takes the name of its folder."""
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
    """Return the file with the name of the tile or of one of its files, or else the file whose name begins with such a name."""
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
