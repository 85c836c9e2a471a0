"""Options that several verbs have, each defined once."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from deepnets4eo.cli.completion import legend_names
from deepnets4eo.cli.option_groups import field_option
from deepnets4eo.errors import InputError
from deepnets4eo.files import check_file_name
from deepnets4eo.options import RESOURCES, InPrecision, OnDevice, split_names

if TYPE_CHECKING:
    from deepnets4eo.jobs import Part, Workers as Who

Out = Annotated[Path, Option("--out", help="Path of the result.")]
Labels = Annotated[str, Argument(help="Label raster.")]
LabelsLegend = Annotated[
    str | None,
    Option(
        "--legend",
        help="Legend of the labels: a name or a YAML card; by default the raster's own.",
        autocompletion=legend_names,
    ),
]
Memory = Annotated[str, Option("--memory", help="Maximum memory, e.g. 4GB.", rich_help_panel=RESOURCES)]
Workers = Annotated[
    int, Option("--workers", help="Threads that read and compute in parallel.", min=1, rich_help_panel=RESOURCES)
]


def _who(threads: str, *, show_default: bool = False) -> Any:
    """Return the option of who works, in addition to threads of this process or in place of them."""
    text = f"{threads}processes:N, or the address of a Dask scheduler."
    metavar = "WHO" if threads.startswith("Other") else "N|WHO"
    return Option("--workers", metavar=metavar, help=text, rich_help_panel=RESOURCES, show_default=show_default)


WhoWorks = Annotated[str, _who("Threads that read and compute in parallel; or ", show_default=True)]
ReadersOrOthers = Annotated[str | None, _who("Threads that read: by default 2, or one per core with a GPU; or ")]
WhoElse = Annotated[str | None, _who("Other processes that do the work: ")]
Device = field_option("device", OnDevice)
Precision = field_option("precision", InPrecision)
Gsd = Annotated[
    float | None,
    Option(
        "--gsd",
        help="Pixel size in metres, for rasters without CRS; without it, lengths and areas are in pixels.",
        min=1e-6,
    ),
]
Seed = Annotated[int, Option("--seed", help="Seed of all randomness.", min=0)]
Resume = Annotated[bool, Option("--resume", help="Continue an interrupted job.")]
ResumeParts = Annotated[
    bool, Option("--resume", help="Continue an interrupted job, or complete a job whose parts are all done.")
]
PartOption = Annotated[
    str | None,
    Option(
        "--part",
        metavar="K/N",
        help="Do only this part of the work, e.g. 3/16, and write no result; see --resume.",
        rich_help_panel=RESOURCES,
    ),
]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace existing results.")]
DryRun = Annotated[bool, Option("--dry-run", help="Only check the inputs and print what would be done.")]
Event = Annotated[
    list[str] | None,
    Option(
        "--event",
        metavar="FILE|KEY=VALUE",
        help="Event, for titles and captions: a YAML or JSON file, or KEY=VALUE; repeatable. "
        "Keys: name, place, credit, producer; for two dates also date_pre, date_post, sensor_pre, sensor_post; for a series also sensor.",
    ),
]


def _checked_name(path: Path | None) -> Path | None:
    """Refuse a folder before any work; "-" is the standard output."""
    return path if path is None or str(path) == "-" else check_file_name(path)


Json = Annotated[
    Path | None,
    Option(
        "--json",
        help="Write the result to this file as JSON, replacing an older file; - prints it.",
        callback=_checked_name,
    ),
]
Onnx = Annotated[Path | None, Option("--onnx", help="ONNX file to write.", callback=_checked_name)]
Online = Annotated[
    bool, Option("--online", help="Download files that the recipe names: initial weights, rasters at web addresses.")
]

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def memory_bytes(text: str) -> int:
    """Return the number of bytes of `4GB`, `500 MB` or a number; InputError for other text."""
    match = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?)I?B?\s*", text.upper())
    try:
        size = float(match[1]) * _UNITS[match[2]] if match else 0.0
    except ValueError:  # 1.2.3GB
        size = 0.0
    if not 1 <= size < math.inf:
        raise InputError(f"--memory {text} is not a size. Write it like 4GB or 500MB.")
    return int(size)


def threads_alone(workers: str) -> int:
    """Return the threads of --workers; InputError for processes, because the verb's work has no blocks for them."""
    from deepnets4eo.jobs import Workers as Who

    who = Who.parse(workers)
    if who.kind != "threads":
        raise InputError(f"--workers {workers}: this work is not divided between processes. Give a number of threads.")
    return who.threads


def others_alone(workers: str | None) -> Who:
    """Return who works in addition to this process; InputError for threads, whose number the verb does not let you choose."""
    from deepnets4eo.jobs import Workers as Who

    who = Who() if workers is None else Who.parse(workers)
    if workers is not None and who.kind == "threads":
        raise InputError(
            f"--workers {workers}: the threads of this work are not chosen. Give processes, such as processes:{workers}."
        )
    return who


def part_is_done(part: Part, out: Path) -> str:
    """Return the line that reports that a part of a job is done, and how the job is completed."""
    return f"part {part} is done and kept beside {out}. When all are: the same command with --resume in place of --part"


def formats(also: str | None) -> list[str] | None:
    """Return the formats between the commas of --also, without `none`; None, for all, if --also is not given."""
    return None if also is None else [name for name in split_names(also) if name != "none"]


def patterns(settings: list[str] | None) -> dict[str, str]:
    """Return settings `layer=pattern` as a mapping; InputError for other text."""
    result = {}
    for setting in settings or []:
        layer, equals, pattern = setting.partition("=")
        if not (layer and equals and pattern):
            raise InputError(f"--layer {setting} is not of the form layer=pattern, as in image=rgb/{{id}}.tif.")
        result[layer] = pattern
    return result
