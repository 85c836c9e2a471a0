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

    prediction_legend: Annotated[str | None, key("Legend the prediction is stored in.")] = None
    reference_legend: Annotated[str | None, key("Legend the reference is stored in.")] = None
    reference_nodata: Annotated[
        float | None, key("Value of the reference that is no data, as data.nodata of a training has it.")
    ] = None
    erode: Annotated[int | None, option("Score also without this many px along borders.", PROTOCOL, ge=0)] = None
    boundary_px: Annotated[int | None, key("Score class borders, too: right within so many px.", ge=0)] = None
    ignore: Annotated[list[str] | None, option("Class whose reference pixels are left out.", PROTOCOL)] = None
    unknown: Annotated[
        Unknown | None,
        option(
            "What labels that the legend lacks become; by default error, or as the run of --withheld learnt.", PROTOCOL
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
        int, option("Draws for intervals over tiles; 0 for none.", "Intervals", flag="--bootstrap", ge=0)
    ] = 0
    tile_px: Annotated[int, key("Side of the tiles of --bootstrap in px.", ge=16)] = 512
    seed: SeedKey = 0
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95


def default_levels(unit: str) -> list[float]:
    """Return the default levels of a quantity in metres; none for other units, whose scale is unknown."""
    return list(LEVELS) if unit == "m" else []


@option_group
class ValueRules:
    """Rules for scoring rasters of a quantity, such as heights."""

    quantity: Annotated[str | None, key("PREDICTION holds height or depth; by default what its tags say.")] = None
    levels: Annotated[
        str | None, key(f"Scores between these levels of the reference, too; in metres {LEVELS_TEXT} by default.")
    ] = None
    class_map: Annotated[Path | None, key("Label raster: scores by its classes, too.")] = None

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

    legend: Annotated[str | None, option("Legend to score in: a name or a YAML card.", "Legends")] = None
    protocol: Annotated[
        str | None, option("DATASET/PROTOCOL of a dataset card: legend, erosion, ignored classes.", PROTOCOL)
    ] = None
    dataset: Annotated[
        str | None, option("Score predicted tiles on this dataset's test part; REFERENCE is its folder.", PROTOCOL)
    ] = None
    layer: Annotated[
        list[str] | None, option("Where its labels lie, e.g. labels=gt/{id}.tif.", PROTOCOL, metavar="LAYER=PATTERN")
    ] = None
    against: Annotated[Path | None, key("An earlier --json of the same protocol: show the difference.")] = None


@option_group
class ReportFiles:
    """Files that the scores are written to; None writes none. `json` may be `-` for stdout."""

    json: Annotated[Path | None, option("Write the scores here as JSON; - for stdout.", RESULTS)] = None
    csv: Annotated[Path | None, option("Write the scores here as CSV.", RESULTS)] = None
    markdown: Annotated[Path | None, option("Write the table here.", RESULTS)] = None
    figure: Annotated[Path | None, option("Draw the confusion matrix here (PNG, PDF, SVG).", RESULTS)] = None

    def paths(self) -> list[Path]:
        """Return the files to be written."""
        return [path for path in (self.json, self.csv, self.markdown, self.figure) if path is not None]


@option_group
class SuspectOptions:
    """Options of the search for labels that are probably wrong."""

    legend: Annotated[str | None, option("Legend of both: a name or a YAML card; by default their own.")] = None
    reference_legend: Annotated[str | None, key("Legend the labels are stored in.")] = None
    least_px: Annotated[int, key("Smaller regions are left out, px.", ge=1)] = 16


def load_legend(name: str | None) -> Legend | None:
    """Load the legend with this name or YAML card; return None for None."""
    from deepnets4eo.cards import Legend

    return Legend.load(name) if name else None
