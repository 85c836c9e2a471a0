"""What the scripts share: files that must be there, errors of the toolbox as one line, and --smoke.

--smoke runs an experiment's whole program on a few pixels for a few steps, in minutes; its figures mean nothing, and every
table says so.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from score_table import BenchmarkScenes, Row

from deepnets4eo.cli.main import INTERRUPTED
from deepnets4eo.errors import DeepNets4EOError, InputError, nearest_name
from deepnets4eo.evaluation import spread
from deepnets4eo.files import read_json, write_json
from deepnets4eo.grid import Window, crop
from deepnets4eo.processor import processor_model
from deepnets4eo.rasters import CogWriter, Scene
from deepnets4eo.training import load_recipe

JOPLIN = ("pre", "post", "footprints_overlap.geojson", "damage_labels.geojson")  # of the folder of Joplin
NOTE = "SMOKE: two steps on a few pixels, these figures mean NOTHING"
SAMPLES = ("isprs_vaihingen_crop", "isprs_potsdam_crop", "ign_lidar_hd")  # folders that the folder of real samples has
RESULTS = "results.json"  # in the folder that a script writes to
T = TypeVar("T")
SIDE_PX = 288  # more than one window of 256 px
FEW_STEPS = ("train.epochs=1", "data.windows_per_epoch=4", "train.batch_size=2", "data.num_workers=0")
BLOCKS = ("data.block_px=64", "data.buffer_px=0")  # a validation part of small scenes
FEW_SAMPLES = ("model.max_samples=200",)
FEW_SITES = {  # patches further apart
    "baselines/deep-svm": ("model.stride_px=64",),
}
Folds = tuple[BenchmarkScenes, BenchmarkScenes]


def require_files(folder: Path, *patterns: str) -> list[Path]:
    """The files and folders with any of these names, sorted. Errors: InputError where there are none."""
    paths = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    if not paths:
        names = f"{'none of' if len(patterns) > 1 else 'no'} {', '.join(patterns)}"
        what = f"it has {names}" if folder.is_dir() else "there is no such folder"
        raise InputError(f"{folder}: {what}. Give the folder that --help describes, or put there what is missing.")
    return paths


def require_all(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder that lacks one of these files or folders. Errors: InputError."""
    for name in names:
        require_files(folder, name)


def check_names(names: Sequence[str] | None, known: Iterable[str], what: str = "row") -> None:
    """Refuse names of which a table has no row: it would be empty, or lack them without a word. Errors: InputError with the nearest."""
    listed = list(known)
    for name in names or ():
        if name not in listed:
            near = nearest_name(name, listed)
            hint = f"Did you mean {near!r}?" if near else f"There are {', '.join(map(repr, listed))}."
            raise InputError(f"no {what} is called {name!r}. {hint}")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Show an error of the toolbox, Ctrl-C and SIGTERM as one line, and end with the exit status that the command line has for it."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        print(
            "Interrupted. Finished rows and runs are kept: call it again with the same --out to go on.", file=sys.stderr
        )
        raise SystemExit(INTERRUPTED) from None
    except DeepNets4EOError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, ValueError) else 1) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def whole_or_samples(data: Path | None) -> tuple[Path | None, Path | None]:
    """What --data names: a whole dataset, or the folder of real samples, which has folders of several datasets."""
    of_samples = data is not None and any((data / name).is_dir() for name in SAMPLES)
    return (None, data) if of_samples else (data, None)


def add_smoke(parser: argparse.ArgumentParser) -> None:
    """Add the option to a script."""
    parser.add_argument("--smoke", action="store_true", help=f"{NOTE.lower()}; tries all of the program in minutes")


def store_results(out: Path, *, smoke: bool, **figures: Any) -> Path:
    """Write figures that the lineage quotes as results.json in a folder, with whether they are of --smoke."""
    return write_json(out / RESULTS, {"smoke": smoke, **figures})


def kept_results(out: Path, *, smoke: bool) -> dict[str, Any]:
    """Return the figures that an earlier call stored in a folder; {} if it stored none, or the other kind: of --smoke or not."""
    before: dict[str, Any] = read_json(out / RESULTS) if (out / RESULTS).exists() else {}
    return before if before.pop("smoke", None) is smoke else {}


def time_of(work: Callable[[], T]) -> tuple[T, float]:
    """Return the result of a function, and the processor seconds that it took."""
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def run_apart(command: Sequence[str], *, quiet: bool = True, folder: Path | None = None) -> tuple[float, float]:
    """Run a command that must succeed, in `folder`; returns processor seconds and peak memory in MB of it and the processes it waited for.

    Linux counts this process's memory at the start as memory of the command, so a caller must be small.
    """
    with subprocess.Popen(command, stdout=subprocess.DEVNULL if quiet else None, cwd=folder) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option that keeps the figures of a benchmark."""
    parser.add_argument("--json", type=Path, help="file for the figures of this part, next to those of other parts")


def store_part(file: Path | None, part: str, *, threads: int = 1, **figures: Any) -> None:
    """Write the figures of one part of a benchmark into its JSON, which keeps the other parts; without a file do nothing.

    Seconds are of processor time: a computer that others use has no clock times worth keeping.
    """
    if file is None:
        return
    known = read_json(file) if file.exists() else {"smoke": False, "seconds": "user and system time of the processor"}
    conditions = {"processor": processor_model()[0], "threads": threads}
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
    write_json(file, known | {part: conditions | rounded})


def percents(shares: Iterable[float], decimals: int = 2) -> list[float]:
    """Return shares of 0 to 1 in percent, as stored for the lineage."""
    return [round(100 * float(share), decimals) for share in shares]


def log_warnings(*, smoke: bool) -> None:
    """Print warnings; in a smoke run none of the toolbox, which concern the few samples and steps of --smoke."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    if smoke:
        logging.getLogger("deepnets4eo").setLevel(logging.ERROR)


def number_or_nan(value: float | None) -> float:
    """A score, NaN where it is None: a class that does not occur has none."""
    return float("nan") if value is None else float(value)


def title_of(title: str, *, smoke: bool) -> str:
    """A table's title, which says what the figures are worth."""
    return f"{title} ({NOTE})" if smoke else title


def rows_beside(
    scores: Mapping[str, Sequence[Mapping[str, float]]], plain: str, columns: Sequence[str]
) -> Iterator[list[str]]:
    """A row of each way: mean ± sd over the seeds, and the difference in the first column to the plain way seed by seed."""
    for way, values in scores.items():
        gains = [one[columns[0]] - other[columns[0]] for one, other in zip(values, scores[plain], strict=True)]
        cells = [spread([one[column] for one in values]) for column in columns]
        yield [way, *cells, "" if way == plain else spread(gains, sign="+")]


def table_beside(title: str, plain: str, columns: Sequence[str], rows: Iterable[list[str]], *before: str) -> str:
    """A table in Markdown of rows of `rows_beside`, after further columns of words."""
    words = [*before, "way"]
    lines = [
        [*words, *columns, f"{columns[0]} − {plain}"],
        ["---"] * len(words) + ["---:"] * (len(columns) + 1),
        *rows,
    ]
    return "\n".join([f"## {title}", "", *(f"| {' | '.join(line)} |" for line in lines), ""])


def shorten(row: Row) -> Row:
    """The same row after two steps, or on a few samples."""
    from deepnets4eo.baselines import BaselineRecipe

    recipe, _ = load_recipe(row.recipe, overrides=row.overrides)
    whole = recipe.data.val_share == 0
    tile = (f"data.tile_px={min(recipe.data.tile_px, 64)}",) if not isinstance(recipe, BaselineRecipe) else FEW_SAMPLES
    sites = FEW_SITES.get(str(row.recipe), ())
    return replace(row, overrides=(*row.overrides, *FEW_STEPS, *tile, *sites, *(() if whole else BLOCKS)))


def crop_scenes(scenes: BenchmarkScenes, out: Path, side_px: int = SIDE_PX) -> BenchmarkScenes:
    """The middle of the first scene to train on and of the first to test on; files that exist are not written again."""
    parts = [
        {name: _crop(sources, out / name, side_px) for name, sources in list(part.items())[:1]}
        for part in (scenes.train, scenes.test)
    ]
    return BenchmarkScenes(*parts)


def crop_folds(folds: Folds, out: Path) -> Folds:
    """Both folds of a tile on the middles of its halves."""
    first, second = (crop_scenes(fold, out / f"fold-{number}") for number, fold in enumerate(folds, start=1))
    return first, second


def _crop(sources: Mapping[str, str], folder: Path, side_px: int) -> dict[str, str]:
    scene = Scene.open(None, **sources)
    height, width = (min(side, side_px) for side in scene.shape)
    window = Window((scene.shape[0] - height) // 2, (scene.shape[1] - width) // 2, height, width)
    paths = {}
    for name, layer in scene.layers.items():
        path = folder / f"{name}.tif"
        paths[name] = str(path)
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with CogWriter(
            path, crop(scene.grid, window), count=layer.count, dtype=str(layer.dtype), nodata=layer.nodata,
            band_names=layer.band_names, tags=layer.tags,
        ) as cog:  # fmt: skip
            cog.write(Window(0, 0, height, width), layer.read(window)[0])
    return paths
