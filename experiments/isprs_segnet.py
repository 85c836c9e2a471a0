"""SegNet and its fusions with heights under the rules of the ISPRS 2D labelling contest, published beside ours.

Usage: python experiments/isprs_segnet.py --out FOLDER [--seeds 0 1 2]                  (miniature city, SYNTHETIC)
       python experiments/isprs_segnet.py --out FOLDER --data ROOT [--dataset isprs_potsdam]  (the contest's tiles)
       python experiments/isprs_segnet.py --out FOLDER --samples ROOT                    (real tiles: ign, vaihingen)

Prints F1 by class and OA as mean ± sd over the seeds, on full and on eroded labels, and which orderings held; writes
them to seeds.md and seeds.json. Finished rows are not run again. Networks have random first weights. The auxiliary
stream is (DSM, nDSM, NDVI) as published, on synthetic and small scenes the height above ground alone, which no colour
helps; both are found from the DSM as it is. Averaging and residual correction start from the two SegNets above them, as
published: averaging is not trained and leaves them to the last bit, the correction alone learns. But for --data
networks are small (width 16), take few steps, and see rare classes as often as others: these figures cannot be compared with
the published ones.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from isprs_baselines import MAIN, contest, contest_options, without_borders
from real_tiles import ABOUT, tile_folds
from seeds import (
    SMALL,
    NetworkRow,
    Ordering,
    OutcomesByRow,
    accuracy,
    choose_rows,
    city_scenes,
    f1_of,
    mean_f1,
    mean_table,
    run_seeds,
    to_eroded_scores,
    with_heights,
    write_tables,
)

from deepnets4eo.benchmark import BenchmarkScenes, Row
from deepnets4eo.cards.dataset_card import DatasetCard
from deepnets4eo.cards.legend import Legend
from deepnets4eo.terrain.composites import PUBLISHED

IMAGE, HEIGHTS = "SegNet", "SegNet, heights"
PLUS, AVERAGE, CORRECTION = "SegNet++ (multi-kernel)", "Averaging", "Residual correction"
AT_RANDOM = "Residual correction, windows at random"
FUSE, VIRTUAL = "FuseNet", "V-FuseNet"
NDSM, COMPOSITE = "ndsm", "composite"
IRRG_BANDS = (3, 0, 1)
THREE_BANDS: dict[str, dict[str, str]] = {"isprs_vaihingen": {}, "isprs_potsdam": {"image": "image_irrg"}}
WIDTH, CORRECTION_WIDTH = 16, 16
EPOCHS = 16  # of the small networks, 48 steps each; after 300 steps SegNet separates little but vegetation
ORDERINGS = (
    *(Ordering(name, IMAGE, "F1 of buildings", f1_of("building")) for name in (AVERAGE, CORRECTION, FUSE, VIRTUAL)),
    *(Ordering(name, AVERAGE, what, score, strictly=False) for name in (CORRECTION, AT_RANDOM) for what, score in
      (("OA", accuracy), ("mean F1", mean_f1), ("F1 of buildings", f1_of("building")))),
)  # fmt: skip


def rows(small: bool, epochs: int | None = None) -> list[NetworkRow]:
    """The networks of the group's ISPRS papers, simplest first; `small` ones learn in a few minutes on a core."""
    narrow = f", width: {WIDTH}" if small else ""
    member = f", options: {{width: {WIDTH}}}" if small else ""
    correction = f"{member}, correction_width: {CORRECTION_WIDTH}" if small else ""
    size: tuple[str, ...] = (*SMALL, f"train.epochs={epochs or EPOCHS}") if small else ()
    size = (f"train.epochs={epochs}",) if epochs and not small else size
    short = (*size, *((f"train.epochs={(epochs or EPOCHS) // 2 or 1}",) if small else ()), "train.encoder_lr_factor=1")
    one = f"model.options={{width: {WIDTH}}}" if small else "model.options={}"
    second, two = (NDSM, "streams: [3, 1]") if small else (COMPOSITE, "streams: [3, 3]")
    layers = f"model.layers=[image, {second}]"
    plus = f"model.options={{head: multi-kernel, deep_supervision: true{narrow}}}"
    corrected = f"model.options={{{two}, network: segnet, frozen: true{correction}}}"
    both = (IMAGE, HEIGHTS)
    return [
        NetworkRow(Row(IMAGE, "segnet", (*size, one))),
        NetworkRow(Row(HEIGHTS, "segnet", (*size, one, f"model.layers=[{second}]"))),
        NetworkRow(
            Row(AVERAGE, "dual-stream", (*size, layers, f"model.options={{{two}, network: segnet, frozen: true{member}}}")),
            both,
        ),
        *(
            NetworkRow(Row(name, "residual-correction", (*short, layers, corrected, *sampling)), both)
            for name, sampling in ((CORRECTION, ()), (AT_RANDOM, ("data.sampling=random",)))
            if small or name == CORRECTION
        ),
        NetworkRow(Row(FUSE, "fusenet", (*size, layers, f"model.options={{{two}{narrow}}}"))),
        NetworkRow(Row(PLUS, "segnet-multi-kernel", (*size, plus))),
        NetworkRow(Row(VIRTUAL, "v-fusenet", (*size, layers, f"model.options={{{two}{narrow}}}"))),
    ]  # fmt: skip


def both_tables(
    title: str,
    full: OutcomesByRow,
    borderless: OutcomesByRow,
    classes: Sequence[str],
    card: DatasetCard | None,
    notes: list[str],
) -> str:
    """Scores on full and on eroded labels, and which orderings held on the full ones."""
    published = {} if card is None else {name: one for name, one in card.published.items() if "SegNet" in name}
    orderings = [ordering.describe(full) for ordering in ORDERINGS]
    return "\n".join(
        mean_table(f"{title}: {kind}", outcomes, classes, published, lines)
        for kind, outcomes, lines in (
            ("full labels", full, ["Orderings, on full labels:", *orderings, "", *notes]),
            ("eroded labels", borderless, []),
        )
    )


def on_scenes(
    table: Sequence[NetworkRow], scenes: BenchmarkScenes, out: Path, seeds: Sequence[int], card: DatasetCard, title: str
) -> str:
    """All rows on the contest's tiles or the miniature city."""
    legend = Legend.load("isprs")
    full, left_out = run_seeds(table, [scenes], legend, out, seeds)
    borderless = {name: without_borders(outcomes, scenes, legend) for name, outcomes in full.items()}
    notes = [
        "- residual correction learns for longer than the average it corrects: where the streams have not converged, its "
        "gain is that of more training, too",
        f"- trained on {', '.join(scenes.train)}, tested on {', '.join(scenes.test)}; published rows are comparable "
        "under the same protocol alone, and never with synthetic scenes",
        *(f"- {name} is left out: {reason}" for name, reason in left_out.items()),
    ]
    return write_tables(out, both_tables(title, full, borderless, MAIN, card, notes), full)


def on_tiles(table: Sequence[NetworkRow], root: Path, out: Path, seeds: Sequence[int]) -> str:
    """The rows on real tiles: of IGN with heights, of Vaihingen a crop whose labels have no borders as they come."""
    texts = []
    fitted = [
        replace(one, row=replace(one.row, overrides=(*one.row.overrides, "data.block_px=32", "data.buffer_px=0",
                                                     "data.tile_px=96")))
        for one in table
    ]  # fmt: skip
    for tile, (legend, folds) in tile_folds(root, out / "tiles", ["ign", "vaihingen"]).items():
        full, left_out = run_seeds(fitted, folds, legend, out / tile, seeds)
        notes = [f"- {ABOUT[tile]}", *(f"- {name} is left out: {reason}" for name, reason in left_out.items())]
        card = DatasetCard.load("isprs_vaihingen") if tile == "vaihingen" else None
        borderless = {name: to_eroded_scores(outcomes) for name, outcomes in full.items()}
        classes = MAIN if tile == "vaihingen" else legend.names
        text = both_tables(f"The real tile {tile}, two halves", full, borderless, classes, card, notes)
        texts.append(write_tables(out / tile, text, full))
    return "\n".join(texts)


def main() -> None:
    parser = contest_options(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("seeds").setLevel(logging.INFO)
    table = choose_rows(rows(arguments.data is None, arguments.epochs), arguments.rows)
    if arguments.samples:
        print(on_tiles(table, arguments.samples, arguments.out, arguments.seeds))
        return
    card = DatasetCard.load(arguments.dataset)
    if arguments.data:
        scenes, title = contest(card, arguments.data, arguments.split, THREE_BANDS[card.name]), card.title
        with_ndsm = with_heights(scenes, arguments.out, COMPOSITE, PUBLISHED, ("nir", "red", "green"))
    else:
        with_ndsm = with_heights(city_scenes(arguments.out, IRRG_BANDS), arguments.out)
        title = "The miniature city (SYNTHETIC)"
    print(on_scenes(table, with_ndsm, arguments.out, arguments.seeds, card, title))


if __name__ == "__main__":
    main()
