"""Options of an evaluation: changes of a protocol, intervals, report files; the command line shows the same texts.

Takes plain values; imports nothing heavy, so that the help text of the verb is quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from deepnets4eo.options import Unknown, option_group

if TYPE_CHECKING:
    from deepnets4eo.cards.legend import Legend

LEGENDS: dict[str, Any] = {"group": "Legends"}
PROTOCOL: dict[str, Any] = {"group": "Protocol"}
INTERVALS: dict[str, Any] = {"group": "Intervals"}
RESULTS: dict[str, Any] = {"group": "Results"}


@option_group
class ProtocolChanges:
    """What replaces the rules of a protocol; None keeps the protocol's own.

    Parameters
    ----------
    prediction_legend, reference_legend
        Names or YAML cards of the legends that the files are stored in; None: by the files' tags.
    erode
        Radius of the disc for the eroded scores in pixels, 0 or more.
    boundary_px
        Reach of the boundary scores in pixels, 0 or more.
    ignore
        Classes whose reference pixels are left out.
    unknown
        "error" or "void", for labels that the legend does not have; None: as the run of `withheld` learnt, else "error".
    withheld
        Run folder: only pixels that its training withheld are scored; None: all.
    """

    prediction_legend: Annotated[
        str | None, Field(description="Legend the prediction is stored in.", json_schema_extra=LEGENDS)
    ] = None
    reference_legend: Annotated[
        str | None, Field(description="Legend the reference is stored in.", json_schema_extra=LEGENDS)
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
    draws
        Number of resamples; 0 for no intervals.
    tile_px
        Side of the tiles in pixels, 16 or more.
    seed
        Seed of the draws.
    level
        Share of the draws inside the interval, between 0 and 1.

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
        Field(description="Side of those tiles in px.", ge=16, json_schema_extra={**INTERVALS, "flag": "--tile"}),
    ] = 512
    seed: int = 0
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95


@option_group
class ReportFiles:
    """Files that the scores are written to; None writes none.

    Parameters
    ----------
    json, csv, markdown
        Paths of the scores; json may be `-` for stdout.
    figure
        Path of the drawn confusion matrix: PNG, PDF or SVG.
    """

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


def load_legend(name: str | None) -> Legend | None:
    """Returns the legend of this name or YAML card; None for None."""
    from deepnets4eo.cards.legend import Legend

    return Legend.load(name) if name else None
