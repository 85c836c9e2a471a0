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

if TYPE_CHECKING:
    from deepnets4eo.cards.legend import Legend
    from deepnets4eo.cards.quantity import Quantity

LEGENDS: dict[str, Any] = {"group": "Legends"}
PROTOCOL: dict[str, Any] = {"group": "Protocol"}
INTERVALS: dict[str, Any] = {"group": "Intervals"}
RESULTS: dict[str, Any] = {"group": "Results"}
LEVELS = (2.0, 5.0, 10.0, 20.0)  # of a quantity in metres; others have none unless they are named
LEVELS_TEXT = ",".join(f"{level:g}" for level in LEVELS)


@option_group
class ProtocolChanges:
    """What replaces the rules of a protocol (None: its own); "unknown" is by default as the run of `withheld` learnt, else "error"."""

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
            json_schema_extra=KEY,
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
    """The levels of a quantity in metres; none for other units, whose size is not known."""
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
        """The levels as numbers, by default those of the unit. Raises InputError for others, or where they do not ascend."""
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
        """The quantity of a raster with these tags; None for labels. Raises InputError for one that is not known."""
        from deepnets4eo.cards.quantity import QUANTITIES, Quantity

        if self.quantity is not None:
            check_choice("quantity", self.quantity, list(QUANTITIES))
        return Quantity.from_tags(tags, where) if self.quantity is None else QUANTITIES[self.quantity]


@option_group
class ScoredFiles:
    """What is scored; layer: LAYER=PATTERN of a dataset's labels; against: an earlier report of the same protocol."""

    legend: Annotated[
        str | None, Field(description="Legend to score in: a name or a YAML card.", json_schema_extra=LEGENDS)
    ] = None
    protocol: Annotated[
        str | None,
        Field(
            description="DATASET/PROTOCOL of a dataset card: legend, erosion, ignored classes.",
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
        Field(description="An earlier --json of the same protocol: show the difference.", json_schema_extra=KEY),
    ] = None


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
        """The files that are written."""
        return [path for path in (self.json, self.csv, self.markdown, self.figure) if path is not None]


@option_group
class SuspectOptions:
    """How labels that are probably wrong are looked for."""

    legend: Annotated[str | None, Field(description="Legend of both: a name or a YAML card; by default their own.")] = (
        None
    )
    reference_legend: Annotated[
        str | None, Field(description="Legend the labels are stored in.", json_schema_extra=KEY)
    ] = None
    least_px: Annotated[int, Field(description="Smaller regions are left out, px.", ge=1, json_schema_extra=KEY)] = 16


def load_legend(name: str | None) -> Legend | None:
    """The legend of this name or YAML card; None for None."""
    from deepnets4eo.cards.legend import Legend

    return Legend.load(name) if name else None
