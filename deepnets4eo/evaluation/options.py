"""Options of an evaluation: changes of a protocol, intervals, report files; the command line shows the same texts.

Takes plain values; imports nothing heavy, so that the help text of the verb is quick."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from deepnets4eo.errors import InputError, check_choice
from deepnets4eo.files import check_file_name
from deepnets4eo.options import SeedKey, Unknown, key, option, option_group

if TYPE_CHECKING:
    from deepnets4eo.cards import Legend, Quantity

PROTOCOL = "Protocol"
RESULTS = "Results"
LEVELS = (2.0, 5.0, 10.0, 20.0)  # of a quantity in metres; others have none unless they are named
LEVELS_TEXT = ",".join(f"{level:g}" for level in LEVELS)


@option_group
class ProtocolChanges:
    """Replacements for the rules of a protocol; None keeps a rule. "unknown" defaults to the choice of the `withheld` run, else "error"."""

    prediction_legend: Annotated[str | None, key("Legend in which the prediction is stored.")] = None
    reference_legend: Annotated[str | None, key("Legend in which the reference is stored.")] = None
    reference_nodata: Annotated[float | None, key("Nodata value of the reference, like data.nodata of a recipe.")] = (
        None
    )
    erode: Annotated[
        int | None, option("Also score without the pixels up to this distance from class borders, px.", PROTOCOL, ge=0)
    ] = None
    boundary_px: Annotated[int | None, key("Also score class borders, with this tolerance in px.", ge=0)] = None
    ignore: Annotated[list[str] | None, option("Class whose reference pixels are ignored; repeatable.", PROTOCOL)] = (
        None
    )
    unknown: Annotated[
        Unknown | None,
        option(
            "What to do with labels that are not in the legend: error or void; by default error, or the choice of the run of --withheld.",
            PROTOCOL,
        ),
    ] = None
    withheld: Annotated[Path | None, option("Run folder: score only pixels that its training withheld.", PROTOCOL)] = (
        None
    )


@option_group
class Intervals:
    """Bootstrap over square tiles of the reference.

    Parameters
    ----------
    level : share of the draws inside the interval, between 0 and 1

    Examples
    --------
    >>> Intervals(draws=1000).tile_px
    512
    """

    draws: Annotated[
        int,
        option(
            "Number of bootstrap draws for intervals over tiles; 0 for none.", "Intervals", flag="--bootstrap", ge=0
        ),
    ] = 0
    tile_px: Annotated[int, key("Side length of the tiles of --bootstrap, px.", ge=16)] = 512
    seed: SeedKey = 0
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95


def default_levels(unit: str) -> list[float]:
    """Return the default levels of a quantity in metres; none for other units, whose scale is unknown."""
    return list(LEVELS) if unit == "m" else []


@option_group
class ValueRules:
    """Rules for scoring rasters of a quantity, such as heights."""

    quantity: Annotated[str | None, key("Quantity in PREDICTION: height or depth; by default as its tags state.")] = (
        None
    )
    levels: Annotated[
        str | None, key(f"Also score between these levels of the reference; for metres {LEVELS_TEXT} by default.")
    ] = None
    class_map: Annotated[Path | None, key("Label raster, to also score by its classes.")] = None

    def edges(self, unit: str) -> list[float]:
        """Return the levels as numbers, by default the levels of the unit. Raises InputError for anything but ascending numbers."""
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
        """Return the quantity of a raster with these tags, or None for labels. Raises InputError for an unknown quantity."""
        from deepnets4eo.cards import Quantity

        if self.quantity is not None:
            check_choice("quantity", self.quantity, Quantity.names())
        return Quantity.from_tags(tags, where) if self.quantity is None else Quantity.from_name(self.quantity)


@option_group
class ScoredFiles:
    """Files to score; layer: LAYER=PATTERN of a dataset's labels; against: an earlier report under the same protocol."""

    legend: Annotated[str | None, option("Legend of the scores: a name or a YAML card.", "Legends")] = None
    protocol: Annotated[
        str | None,
        option("Protocol of a dataset card, as DATASET/PROTOCOL: legend, erosion, ignored classes.", PROTOCOL),
    ] = None
    dataset: Annotated[
        str | None,
        option("Score predicted tiles on the test split of this dataset; REFERENCE is its folder.", PROTOCOL),
    ] = None
    layer: Annotated[
        list[str] | None,
        option("Where the labels of --dataset are, e.g. labels=gt/{id}.tif.", PROTOCOL, metavar="LAYER=PATTERN"),
    ] = None
    against: Annotated[Path | None, key("Earlier --json file under the same protocol, to show the difference.")] = None


@option_group
class ReportFiles:
    """Files that the scores are written to; None writes none. `json` may be `-` for stdout."""

    json: Annotated[Path | None, option("Write the scores to this file as JSON; - for stdout.", RESULTS)] = None
    csv: Annotated[Path | None, option("Write the scores to this file as CSV.", RESULTS)] = None
    markdown: Annotated[Path | None, option("Write the table to this file as Markdown.", RESULTS)] = None
    figure: Annotated[Path | None, option("Draw the confusion matrix to this file (PNG, PDF, SVG).", RESULTS)] = None

    def paths(self) -> list[Path]:
        """Return the files to be written. Errors: OutputError for a folder."""
        return [check_file_name(path) for path in (self.json, self.csv, self.markdown, self.figure) if path is not None]


@option_group
class SuspectOptions:
    """Options of the search for labels that are probably wrong."""

    legend: Annotated[str | None, option("Legend of both files: a name or a YAML card; by default their own.")] = None
    reference_legend: Annotated[str | None, key("Legend in which the labels are stored.")] = None
    least_px: Annotated[int, key("Minimum size of a region, px.", ge=1)] = 16


def load_legend(name: str | None) -> Legend | None:
    """Load the legend with this name or YAML card; return None for None."""
    from deepnets4eo.cards import Legend

    return Legend.load(name) if name else None
