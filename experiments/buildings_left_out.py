"""How networks for buildings fare on styles that they never learnt. SYNTHETIC: made-up places alone.

Usage: python experiments/buildings_left_out.py --out FOLDER --buildings RUN RUN RUN [--windows 16] [--smoke]

RUNs are the folders `buildings` of trainings with world_train.py --leave-out, each with another seed and other styles left out, so
that every style is new to one of them and known to the others. All label the same windows of the image before, of seeds that no
training uses. A line a style: IoU of building pixels, borders between buildings included, of the network to which the style is new,
and mean of those that know it. Then the mean over styles for each network, ± over the networks. Styles without buildings, and those
that are not new to exactly one network, have no line.
Ours: python experiments/world_train.py --seed 0 --leave-out arid-suburb dry-countryside high-rise old-town resort suburb tropical-village
  --out runs/part0 --set train.epochs=8 --set data.windows_per_epoch=1024 --set data.windows_per_pair=2 --set train.lr=2e-3
  --set train.schedule=one_cycle --set train.warmup_share=0.1 --set train.keep=last
and so on with each third style from concrete-blocks and from countryside on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from places.results import markdown_table
from script import plain_errors
from smoke import NOTE, add_smoke

from deepnets4eo.cards.legend import VOID
from deepnets4eo.evaluation import spread
from deepnets4eo.files import write_json, write_text
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.segmenters.run import Run, load_run
from deepnets4eo.synthetic.world.stream import draw_pair
from deepnets4eo.synthetic.world.style import style_names
from deepnets4eo.synthetic.world.windows import BACKGROUND, WindowCutter

FIRST_SEED, SIZE_PX, TILE_PX = 9_400_000, 512, 256
Row = dict[str, Any]


def windows_of(style: str, count: int) -> Iterator[dict[str, NDArray[Any]]]:
    """Windows of the image before at intact places of a style; the same seeds for every style."""
    cut_window = WindowCutter(TILE_PX, post_share=0.0)
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        yield cut_window(draw_pair(seed, style=style, hazard="none", size_px=SIZE_PX), np.random.default_rng(seed))


def building_iou(run: Run, windows: Sequence[dict[str, NDArray[Any]]]) -> float:
    """Pixels of buildings that the network and the truth share, over those of either; NaN where there is none."""
    pixels = ConfusionMatrix(2)
    for window in windows:
        truth = window["buildings"]
        labelled = run.segmenter.predict_classes(window["image"][None])[0]
        pixels.update(
            np.where(truth == VOID, np.uint8(VOID), np.uint8(truth != BACKGROUND)), np.uint8(labelled != BACKGROUND)
        )
    return float(pixels.iou[1])


def rows_of(style: str, windows: Sequence[dict[str, NDArray[Any]]], runs: Sequence[Run]) -> Iterator[Row]:
    """One row a network; none where no window has a building, or where the style is not new to exactly one network."""
    is_new = [style in run.recipe["data"]["left_out_styles"] for run in runs]
    if sum(is_new) != 1 or all(np.isin(window["buildings"], (BACKGROUND, VOID)).all() for window in windows):
        return
    for run, new in zip(runs, is_new, strict=True):
        yield {"style": style, "network": str(run.folder), "new": new, "iou": building_iou(run, windows)}


def lines_of(rows: pd.DataFrame) -> Iterator[list[str]]:
    """A line a style, and one of all."""
    for style, part in rows.groupby("style"):
        yield [str(style), *(spread([part[part["new"] == new]["iou"].mean()], 3) for new in (True, False))]
    means = [spread(rows[rows["new"] == new].groupby("network")["iou"].mean(), 3) for new in (True, False)]
    yield ["all, ± over networks", *means]


def main() -> None:
    """Label all windows with all networks; table.md and table.json in --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--buildings", type=Path, nargs="+", required=True)
    parser.add_argument("--windows", type=int, default=16, help="of each style")
    add_smoke(parser)
    options = parser.parse_args()
    if options.smoke:
        options.windows = 1
        print(NOTE)
    runs = [load_run(folder) for folder in options.buildings]
    table_rows = [row for name in style_names() for row in rows_of(name, list(windows_of(name, options.windows)), runs)]
    if not table_rows:
        parser.error(
            "no style is new to exactly one of the runs. Give runs of trainings that left out other styles each."
        )
    write_json(options.out / "table.json", {"synthetic": True, "rows": table_rows})
    table = markdown_table(["style", "new", "known"], list(lines_of(pd.DataFrame(table_rows))))
    title = "# SYNTHETIC: IoU of buildings, by whether the style is new to the network"
    print(write_text(options.out / "table.md", f"{title}\n\n{table}\n").read_text(encoding="utf-8"))


if __name__ == "__main__":
    with plain_errors():
        main()
