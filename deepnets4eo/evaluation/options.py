"""Options of an evaluation: changes of a protocol, intervals, report files; the command line shows the same texts.

Takes plain values; imports nothing heavy, so that the help text of the verb is quick."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from deepnets4eo.errors import InputError, check_choice
from deepnets4eo.options import KEY, SeedKey, Unknown, option_group
from deepnets4eo.segmenters.checksums import is_run

if TYPE_CHECKING:
    from deepnets4eo.cards.legend import Legend
    from deepnets4eo.cards.quantity import Quantity

LEGENDS: dict[str, Any] = {"group": "Legends"}
PROTOCOL: dict[str, Any] = {"group": "Protocol"}
INTERVALS: dict[str, Any] = {"group": "Intervals"}
RESULTS: dict[str, Any] = {"group": "Results"}
PAGE: dict[str, Any] = {"group": "Page of a hyperspectral run"}
LEVELS = (2.0, 5.0, 10.0, 20.0)  # of a quantity in metres; others have none unless they are named
LEVELS_TEXT = ",".join(f"{level:g}" for level in LEVELS)
XVIEW2 = "xview2"  # a protocol of its own: the damage score of a challenge


@option_group
class ProtocolChanges:
    """What replaces the rules of a protocol; None keeps the protocol's own. Legends are names or YAML cards, by default
    those of the files' tags; "unknown" is by default as the run of `withheld` learnt, else "error"."""

    prediction_legend: Annotated[
        str | None, Field(description="Legend the prediction is stored in.", json_schema_extra=KEY)
    ] = None
    reference_legend: Annotated[
        str | None, Field(description="Legend the reference is stored in.", json_schema_extra=KEY)
    ] = None
    erode: Annotated[
        int | None,
        Field(description="Score also without this many px along borders.", ge=0, json_schema_extra=PROTOCOL),
    ] = None
    boundary_px: Annotated[
        int | None,
        Field(
            description="Score class borders, too: right within so many px.",
            ge=0,
            json_schema_extra={**PROTOCOL, "flag": "--boundary-px"},
        ),
    ] = None
    ignore: Annotated[
        list[str] | None, Field(description="Class whose reference pixels are left out.", json_schema_extra=PROTOCOL)
    ] = None
    unknown: Annotated[
        Unknown | None,
        Field(
            description="What labels that the legend lacks become; by default error, or as the run of --withheld learnt.",
            json_schema_extra=PROTOCOL,
        ),
    ] = None
    withheld: Annotated[
        Path | None,
        Field(description="Run folder: score only pixels that its training withheld.", json_schema_extra=PROTOCOL),
    ] = None


@option_group
class Intervals:
    """Bootstrap over square tiles of the reference.

    Parameters
    ----------
    draws : number of resamples; 0 for no intervals
    tile_px : side of the tiles in pixels, 16 or more
    seed : seed of the draws
    level : share of the draws inside the interval, between 0 and 1

    Examples
    --------
    >>> Intervals(draws=1000).tile_px
    512
    """

    draws: Annotated[
        int,
        Field(
            description="Draws for intervals over tiles; 0 for none.",
            ge=0,
            json_schema_extra={**INTERVALS, "flag": "--bootstrap"},
        ),
    ] = 0
    tile_px: Annotated[
        int,
        Field(description="Side of the tiles of --bootstrap in px.", ge=16, json_schema_extra=KEY),
    ] = 512
    seed: SeedKey = 0
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95


def default_levels(unit: str) -> list[float]:
    """Returns the levels of a quantity in metres; none for other units, whose size is not known."""
    return list(LEVELS) if unit == "m" else []


@option_group
class ValueRules:
    """How rasters of a quantity, such as heights, are scored."""

    quantity: Annotated[
        str | None,
        Field(description="PREDICTION holds height or depth; by default what its tags say.", json_schema_extra=KEY),
    ] = None
    levels: Annotated[
        str | None,
        Field(
            description=f"Scores between these levels of the reference, too; in metres {LEVELS_TEXT} by default.",
            json_schema_extra=KEY,
        ),
    ] = None
    class_map: Annotated[
        Path | None, Field(description="Label raster: scores by its classes, too.", json_schema_extra=KEY)
    ] = None

    def edges(self, unit: str) -> list[float]:
        """Returns the levels as numbers, by default those of the unit. Raises InputError for others, or where they do not ascend."""
        if self.levels is None:
            return default_levels(unit)
        try:
            edges = [float(word) for word in self.levels.split(",") if word.strip()]
        except ValueError:
            edges = [math.nan]
        if not all(low < high for low, high in itertools.pairwise(edges)) or not all(map(math.isfinite, edges)):
            raise InputError(f"levels={self.levels}; expected ascending numbers in the unit, as in levels=2,5,10,20.")
        return edges

    def find_quantity(self, tags: Mapping[str, str], where: str) -> Quantity | None:
        """Returns the quantity of a raster with these tags; None for labels. Raises InputError for one that is not known."""
        from deepnets4eo.cards.quantity import QUANTITIES, Quantity

        if self.quantity is not None:
            check_choice("quantity", self.quantity, list(QUANTITIES))
        return Quantity.from_tags(tags, where) if self.quantity is None else QUANTITIES[self.quantity]


@option_group
class ScoredFiles:
    """What is scored, and by which rules, in the words of the command line. layer : LAYER=PATTERN, where labels of a
    dataset lie. against : an earlier report of the same protocol."""

    legend: Annotated[
        str | None, Field(description="Legend to score in: a name or a YAML card.", json_schema_extra=LEGENDS)
    ] = None
    protocol: Annotated[
        str | None,
        Field(
            description="DATASET/PROTOCOL of a dataset card: legend, erosion, ignored classes; or xview2, for folders of "
            "damage rasters.",
            json_schema_extra=PROTOCOL,
        ),
    ] = None
    dataset: Annotated[
        str | None,
        Field(
            description="Score predicted tiles on this dataset's test part; REFERENCE is its folder.",
            json_schema_extra=PROTOCOL,
        ),
    ] = None
    layer: Annotated[
        list[str] | None,
        Field(
            description="Where its labels lie, e.g. labels=gt/{id}.tif.",
            json_schema_extra={**PROTOCOL, "metavar": "LAYER=PATTERN"},
        ),
    ] = None
    against: Annotated[
        Path | None,
        Field(description="An earlier --json of the same protocol: show the difference.", json_schema_extra=RESULTS),
    ] = None


@option_group
class PageOptions:
    """The page of a hyperspectral run, in the words of the command line."""

    page: Annotated[
        Path | None,
        Field(
            description="PREDICTION is a run of the task hyperspectral: write its page of maps, spectra, scores and "
            "leakage into this folder.",
            json_schema_extra=PAGE,
        ),
    ] = None
    data: Annotated[
        list[Path] | None,
        Field(
            description="Where the files of that run's training lie now; by default where they lay then.",
            json_schema_extra=PAGE,
        ),
    ] = None
    overwrite: Annotated[
        bool, Field(description="Replace a page that exists.", json_schema_extra={**PAGE, "flag": "--overwrite"})
    ] = False
    memory: Annotated[str, Field(description="How much memory --page may use, e.g. 4GB.", json_schema_extra=KEY)] = (
        "4GB"
    )
    device: Annotated[str, Field(description="Device of --page: auto, cpu or cuda.", json_schema_extra=KEY)] = "auto"


@option_group
class ReportFiles:
    """Files that the scores are written to; None writes none. `json` may be `-` for stdout."""

    json: Annotated[
        Path | None,
        Field(description="Write the scores here as JSON; - for stdout.", json_schema_extra=RESULTS),
    ] = None
    csv: Annotated[Path | None, Field(description="Write the scores here as CSV.", json_schema_extra=RESULTS)] = None
    markdown: Annotated[Path | None, Field(description="Write the table here.", json_schema_extra=RESULTS)] = None
    figure: Annotated[
        Path | None,
        Field(description="Draw the confusion matrix here (PNG, PDF, SVG).", json_schema_extra=RESULTS),
    ] = None

    def paths(self) -> list[Path]:
        """Returns the files that are written."""
        return [path for path in (self.json, self.csv, self.markdown, self.figure) if path is not None]


@option_group
class WrongLabels:
    """Labels of the reference that are probably wrong, in the words of the command line."""

    wrong_labels: Annotated[
        Path | None,
        Field(
            description="Write regions of REFERENCE here that are probably labelled wrongly, ranked; PREDICTION is then the file of "
            "predict --probabilities. Of images (.csv), where PREDICTION is a run of the task images.",
            json_schema_extra=RESULTS,
        ),
    ] = None
    least_px: Annotated[
        int, Field(description="Smaller regions of --wrong-labels are left out, px.", ge=1, json_schema_extra=KEY)
    ] = 16


def check_together(
    prediction: Path, reference: Path | None, scored: ScoredFiles, changes: ProtocolChanges, intervals: Intervals,
    files: ReportFiles, page: PageOptions, wrong: WrongLabels,
) -> None:  # fmt: skip
    """Refuse options of `evaluate` that do not go together, and outputs that would replace inputs. Errors: InputError,
    OutputError."""
    from deepnets4eo.outputs.input_files import check_not_inputs

    if page.page is not None:
        if reference is not None or scored != ScoredFiles() or files != ReportFiles():
            raise InputError(
                "--page takes a run alone, and --data, --overwrite, --set memory and --set device. Leave the reference and "
                "the other options out."
            )
        check_not_inputs([page.page], [prediction, *(page.data or [])])
        return
    if page != PageOptions():
        raise InputError("--data, --overwrite, --set memory and --set device belong to --page. Leave them out.")
    if reference is None:
        raise InputError("REFERENCE is missing. Give the reference, or --page for the page of a hyperspectral run.")
    if wrong.wrong_labels is not None:
        allowed = ProtocolChanges(reference_legend=changes.reference_legend)
        if (scored, changes, intervals, files) != (
            ScoredFiles(legend=scored.legend),
            allowed,
            Intervals(),
            ReportFiles(),
        ):
            raise InputError(
                "--wrong-labels looks for wrong labels and scores nothing: only --legend, --set reference_legend and --set least_px go "
                "with it. Leave the other options out."
            )
        if is_run(prediction):
            _check_of_images(wrong, scored, changes)
        check_not_inputs([wrong.wrong_labels], [prediction, reference, scored.legend])
    elif wrong != WrongLabels():
        raise InputError("--set least_px belongs to --wrong-labels. Name a file with it.")
    elif is_run(prediction):
        raise InputError(
            f"{prediction} is a run, whose own scores are in its metrics.json. Give labels that it made, with deepnets4eo predict, or rank "
            "the labels of whole images with --wrong-labels FILE.csv."
        )
    if scored.protocol == XVIEW2:
        others = changes != ProtocolChanges() or intervals != Intervals() or files != ReportFiles(json=files.json)
        if others or scored != ScoredFiles(protocol=XVIEW2):
            raise InputError(
                "--protocol xview2 has rules of its own: only --json goes with it. Leave the other options out."
            )
    legends = (changes.prediction_legend, changes.reference_legend)
    check_not_inputs(
        files.paths(), [prediction, reference, scored.legend, scored.protocol, scored.dataset, *legends, scored.against]
    )
    if scored.dataset is not None and scored.legend:
        raise InputError("--legend and --dataset do not go together: the protocol has the legend.")
    if scored.dataset is None and scored.layer:
        raise InputError("--layer belongs to a dataset. Name it with --dataset.")


def load_legend(name: str | None) -> Legend | None:
    """Returns the legend of this name or YAML card; None for None."""
    from deepnets4eo.cards.legend import Legend

    return Legend.load(name) if name else None


def _check_of_images(wrong: WrongLabels, scored: ScoredFiles, changes: ProtocolChanges) -> None:
    """Refuse options of regions beside a run of images. Errors: InputError."""
    out = wrong.wrong_labels
    if out is not None and out.suffix.lower() != ".csv":
        raise InputError(f"--wrong-labels {out}: labels of images are listed in a table. Name it .csv.")
    if scored.legend or changes.reference_legend or wrong.least_px != WrongLabels().least_px:
        raise InputError(
            "a run of images has its own classes and no regions. Leave --legend, --set reference_legend and --set least_px out."
        )
