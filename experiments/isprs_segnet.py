"""SegNet and its fusions with heights under the rules of the ISPRS 2D labelling contest, published beside ours.

Usage: python experiments/isprs_segnet.py --out FOLDER [--seeds 0 1 2]                  (miniature city, SYNTHETIC)
       python experiments/isprs_segnet.py --out FOLDER --data ROOT [--dataset isprs_potsdam]  (the contest's tiles)
       python experiments/isprs_segnet.py --out FOLDER --data SAMPLES [--sites dubai ign …] [--long]   (real tiles, segnet_samples.py)
       with experiments/results/isprs_segnet.json as FOLDER/results.json, rows and seeds are added to those of this file
       python experiments/isprs_segnet.py --out FOLDER --data ROOT --protocol deepnetsforeo --vgg vgg16_bn.safetensors
--smoke tries all of it in minutes; its figures mean nothing.

Prints F1 by class and OA as mean ± sd over the seeds, on full and on eroded labels, and which orderings held; writes
them to seeds.md and seeds.json. Finished rows are not run again. Networks have random first weights without --vgg. The
auxiliary stream is (DSM, nDSM, NDVI) as published, on synthetic and small scenes the height above ground alone, which no
colour helps; the nDSM is that of the dataset where it lies there (or --layer ndsm=PATTERN), else found from the DSM.
Averaging, residual correction and (with --data) V-FuseNet start from the two SegNets above them, as published: averaging is
not trained and leaves them to the last bit, of the correction the rest alone learns. But for --data
networks are small (width 16), take few steps, and see rare classes as often as others: these figures cannot be compared with
the published ones.
DLR_2 and DST_2 stand for what their tables name: FCN-8s alone and with a conditional random field; the random forest on further features beside DST_2 is left out.

--protocol deepnetsforeo is that of the notebook SegNet_PyTorch_v2 of DeepNetsForEO, on Vaihingen: all 12 training tiles, none
withheld, each as often; bytes divided by 255; VGG-16-BN's first weights; convolution, ReLU, normalisation in this order; all
layers at one rate, as its optimiser did; the last weights; windows of 256 px every 32 px, log-probabilities summed alike.
--notebook FILE scores weights of the notebook in the same way, without training.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import segnet_samples
from isprs_baselines import MAIN, contest, contest_options, without_borders
from score_table import BenchmarkScenes, Outcome, Row
from script import check_names, crop_scenes, log_warnings, plain_errors, title_of, whole_or_samples
from seeds import (
    ERODE_PX,
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
    shorten_rows,
    with_heights,
    write_tables,
)
from segnet_samples import AVERAGE, VIRTUAL, SampleSite, sample_sites
from zero import largest_class_of_folds

from deepnets4eo.cards import DatasetCard, Legend
from deepnets4eo.evaluation import Protocol, evaluate_pairs
from deepnets4eo.files import read_json, write_json, write_text
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Scene
from deepnets4eo.segmentation import notebook_segmenter
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.terrain.composites import PUBLISHED

IMAGE, HEIGHTS = "SegNet", "SegNet, heights"
PLUS, CORRECTION = "SegNet++ (multi-kernel)", "Residual correction"
AT_RANDOM = "Residual correction, windows at random"
FUSE = "FuseNet"
FCN_8, FCN_16, FCN_CRF = "FCN (DLR_2)", "FCN-16s", "FCN + RF + CRF (DST_2)"
WITH_CRF = ("task=baseline", "model.method=network", "post=[{crf: {}}]")
NDSM, COMPOSITE = "ndsm", "composite"
IRRG_BANDS = (3, 0, 1)
THREE_BANDS: dict[str, dict[str, str]] = {"isprs_vaihingen": {}, "isprs_potsdam": {"image": "image_irrg"}}
WIDTH, CORRECTION_WIDTH = 16, 16
EPOCHS = 16  # of the small networks, 48 steps each; after 300 steps SegNet separates little but vegetation
PUBLISHED_PROTOCOL, NOTEBOOK = "deepnetsforeo", "SegNet, notebook's weights"
PROTOCOL = (
    "data.val_share=0", "data.sampling=scenes", "data.scaling=unit", "data.windows_per_epoch=10000", "data.tile_px=256",
    "train.batch_size=10", "train.encoder_lr_factor=1", "train.decay=all", "train.precision=float32", "train.keep=last",
    "predict.tile_px=256", "predict.halo_px=0",
    "predict.overlap_px=224", "predict.scores=log-probabilities", "predict.blending=uniform",
)  # fmt: skip
ORDERINGS = (
    *(Ordering(name, IMAGE, "F1 of buildings", f1_of("building")) for name in (AVERAGE, CORRECTION, FUSE, VIRTUAL)),
    *(Ordering(name, AVERAGE, what, score, strictly=False) for name in (CORRECTION, AT_RANDOM) for what, score in
      (("OA", accuracy), ("mean F1", mean_f1), ("F1 of buildings", f1_of("building")))),
)  # fmt: skip


def rows(
    small: bool,
    epochs: int | None = None,
    *,
    published: bool = False,
    vgg: str | None = None,
    width: int | None = None,
    heights: tuple[str, int] = (NDSM, 1),
) -> list[NetworkRow]:
    """The networks of the group's ISPRS papers, simplest first; `small` ones learn in a few minutes on a core.

    published : under the protocol deepnetsforeo. vgg : first weights of all encoders that start from no other row's.
    width : channels of the first stage, instead of 64, or 16 of the small ones.
    heights : the auxiliary layer of small networks and its number of bands.
    """
    width = width or (WIDTH if small else None)
    shape: dict[str, int | str] = {"width": width} if width else {}
    shape |= {"order": "conv-relu-bn"} if published else {}
    described = ", ".join(f"{key}: {value}" for key, value in shape.items())
    narrow = f", {described}" if shape else ""
    member = f", options: {{{described}}}" if shape else ""
    correction = member + (f", correction_width: {CORRECTION_WIDTH}" if small else "")
    size: tuple[str, ...] = (*SMALL, f"train.epochs={epochs or EPOCHS}") if small else ()
    size = (f"train.epochs={epochs}",) if epochs and not small else size
    size = (*size, *(PROTOCOL if published else ()))
    short = (*size, *((f"train.epochs={(epochs or EPOCHS) // 2 or 1}",) if small else ()), "train.encoder_lr_factor=1")
    one = f"model.options={{{described}}}"
    first = (f"model.encoder_weights={vgg}",) if vgg else ()
    first_of_two = (f"model.encoder_weights={vgg},{vgg}",) if vgg else ()
    second, two = (heights[0], f"streams: [3, {heights[1]}]") if small else (COMPOSITE, "streams: [3, 3]")
    layers = f"model.layers=[image, {second}]"
    plus = f"model.options={{head: multi-kernel, deep_supervision: true{narrow}}}"
    corrected = f"model.options={{{two}, network: segnet, frozen: true{correction}}}"
    both = (IMAGE, HEIGHTS)
    fcn = f"{{stride: %d, hidden: {64 if small else 1024}{f', width: {width}' if width else ''}}}"
    eight, sixteen = (f"model.options={fcn % stride}" for stride in (8, 16))
    of_fcn = (
        []
        if published
        else [
            NetworkRow(Row(FCN_8, "fcn", (*size, eight, *first))),
            NetworkRow(Row(FCN_16, "fcn", (*size, sixteen, *first))),
            NetworkRow(Row(FCN_CRF, "fcn", (*WITH_CRF, *size, eight, *first))),
        ]
    )
    return [
        *of_fcn,
        NetworkRow(Row(IMAGE, "segnet", (*size, one, *first))),
        NetworkRow(Row(HEIGHTS, "segnet", (*size, one, f"model.layers=[{second}]", *first))),
        NetworkRow(
            Row(AVERAGE, "dual-stream", (*size, layers, f"model.options={{{two}, network: segnet, frozen: true{member}}}")),
            both,
        ),
        *(
            NetworkRow(Row(name, "residual-correction", (*short, layers, corrected, *sampling)), both)
            for name, sampling in ((CORRECTION, ()), (AT_RANDOM, ("data.sampling=random",)))
            if small or name == CORRECTION
        ),
        NetworkRow(Row(FUSE, "fusenet", (*size, layers, f"model.options={{{two}{narrow}}}", *first_of_two))),
        NetworkRow(Row(PLUS, "segnet-multi-kernel", (*size, plus, *first))),
        NetworkRow(Row(VIRTUAL, "v-fusenet", (*size, layers, f"model.options={{{two}{narrow}}}")), () if small else both),
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
    published = {} if card is None else card.published
    orderings = [ordering.describe(full) for ordering in ORDERINGS]
    return "\n".join(
        mean_table(f"{title}: {kind}", outcomes, classes, published, lines)
        for kind, outcomes, lines in (
            ("full labels", full, ["Orderings, on full labels:", *orderings, "", *notes]),
            ("eroded labels", borderless, []),
        )
    )


def on_scenes(
    table: Sequence[NetworkRow],
    scenes: BenchmarkScenes,
    out: Path,
    seeds: Sequence[int],
    card: DatasetCard,
    title: str,
    notebook: Path | None = None,
) -> str:
    """All rows on the contest's tiles or the miniature city; notebook : weights to score beside them."""
    legend = Legend.load("isprs")
    full, left_out = run_seeds(table, [scenes], legend, out, seeds)
    if notebook is not None:
        full[NOTEBOOK] = [score_notebook(notebook, scenes, out / "notebook", legend)]
    borderless = {name: without_borders(outcomes, scenes, legend) for name, outcomes in full.items()}
    notes = [
        "- residual correction learns for longer than the average it corrects: where the streams have not converged, its "
        "gain is that of more training, too",
        f"- trained on {', '.join(scenes.train)}, tested on {', '.join(scenes.test)}; published rows are comparable "
        "under the same protocol alone, and never with synthetic scenes",
        *(f"- {name} is left out: {reason}" for name, reason in left_out.items()),
    ]
    return write_tables(out, both_tables(title, full, borderless, MAIN, card, notes), full)


def score_notebook(weights: Path, scenes: BenchmarkScenes, out: Path, legend: Legend) -> Outcome:
    """Map and score the test scenes with weights of the notebook; nothing is trained."""
    started = time.perf_counter()
    run = save_run(notebook_segmenter(weights), out / "run", recipe={}, seed=0, notes={"weights": str(weights)})
    maps = {name: out / f"{name}.tif" for name in scenes.test}
    for name, sources in scenes.test.items():
        predict(run, sources["image"], maps[name], PredictOptions(overwrite=True))
    pairs = [(maps[name], sources[Scene.label_layer]) for name, sources in scenes.test.items()]
    scores = evaluate_pairs(pairs, legend, Protocol(erode_px=ERODE_PX)).to_dict()
    return Outcome(NOTEBOOK, scores, (), 0.0, time.perf_counter() - started, maps)


def site_table(
    site: SampleSite, names: Sequence[str] | None, *, long: bool, smoke: bool, width: int | None = None
) -> list[NetworkRow]:
    """Return the rows of a site of the samples: of a fixed number of steps, or until the validation score no longer rises.

    If a width is given, the names of the rows state it, so that their results are kept next to the results of the usual width.
    """
    epochs = segnet_samples.LONG_EPOCHS if long else segnet_samples.EPOCHS
    every = rows(True, epochs, width=width or segnet_samples.WIDTH, heights=site.heights or (NDSM, 1))
    every = [one for one in every if one.row.name not in segnet_samples.LEFT_OUT]
    table = segnet_samples.site_rows(every, site, long=long)
    at_site = {one.row.name for one in table}
    table = choose_rows(table, None if names is None else [name for name in names if name in at_site])
    table = [_with_width(one, width) for one in table] if width else table
    return shorten_rows(table) if smoke else table


def _with_width(one: NetworkRow, width: int) -> NetworkRow:
    """Return a row that states the width in its name and in the names of its streams."""
    named = replace(one.row, name=f"{one.row.name}, width {width}")
    return replace(one, row=named, streams=tuple(f"{name}, width {width}" for name in one.streams))


def on_samples(
    root: Path,
    out: Path,
    seeds: Sequence[int],
    sites: Sequence[str],
    names: Sequence[str] | None,
    *,
    long: bool = False,
    smoke: bool = False,
    width: int | None = None,
) -> str:
    """Run the rows on the sites of the samples, and add each row of each seed to results.json, which the lineage quotes.

    A results.json of other seeds or rows that was put into `out` is kept; what is measured again replaces what it has. Of a
    training that stops by itself (`long`) the rows are under "long".
    """
    path = out / "results.json"
    run_as: dict[str, Any] = {"smoke": smoke, "steps": segnet_samples.STEPS}
    before = read_json(path) if path.exists() else {}
    stored: dict[str, Any] = {**before, **run_as} if run_as.items() <= before.items() else dict(run_as)
    stored.setdefault("seconds_per_step", {} if smoke else segnet_samples.step_seconds())
    kind = "long" if long else "sites"
    measured: dict[str, Any] = stored.setdefault(kind, {})
    if long:
        stored["long_steps"] = {"most": segnet_samples.LONG_STEPS, "patience": segnet_samples.PATIENCE * 100}
    texts = {}
    at = list(sample_sites(root, out / "tiles", sites))
    check_names(
        names, dict.fromkeys(one.row.name for site in at for one in site_table(site, None, long=long, smoke=False))
    )
    for done, site in [(number, site) for site in at for number in range(1, len(seeds) + 1)]:
        table = site_table(site, names, long=long, smoke=smoke, width=width)
        folds = [crop_scenes(fold, out / "smoke" / site.name) for fold in site.folds] if smoke else site.folds
        steps = {one.row.name: segnet_samples.steps_of(one.row) for one in table}
        zero = largest_class_of_folds(folds, site.legend)
        stored.setdefault("zero", {})[site.name] = zero.to_dict()
        stored.setdefault("largest_class", {})[site.name] = round(zero.scores["overall_accuracy"], 2)

        def store(full: OutcomesByRow) -> None:
            """Keep what is measured so far; a row that this seed has not reached yet keeps its earlier seeds."""
            of_site = measured.setdefault(site.name, {})  # noqa: B023 (called within this turn of the loop)
            for name, outcomes in full.items():
                so_far = seeds[: len(outcomes)]
                scores = segnet_samples.scores_by_seed(outcomes, so_far, folds, steps[name], long=long)  # noqa: B023
                of_site[name] = segnet_samples.merge_seeds(of_site.get(name), scores)
            write_json(path, stored)

        folder = out / f"{site.name}-long" if long else out / site.name
        full, left_out = run_seeds(table, folds, site.legend, folder, seeds[:done], segnet_samples.PROTOCOL, store)
        notes = [
            f"- {site.about}",
            f"- {zero.line()}",
            *(f"- {name} is left out: {reason}" for name, reason in left_out.items()),
        ]
        how = f"at most {segnet_samples.LONG_STEPS}" if long else f"{segnet_samples.STEPS}"
        texts[site.name] = mean_table(
            title_of(f"{site.name}: {how} steps", smoke=smoke), full, site.legend.names, {}, notes
        )
        stored["windows_px"] = {
            name: segnet_samples.WINDOWS_PX[name] for name in {**stored.get("windows_px", {}), **measured}
        }
        write_json(path, stored)
        write_text(out / "seeds.md", "\n".join(texts.values()))
    return "\n".join(texts.values())


def main() -> None:
    parser = contest_options(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--protocol", choices=[PUBLISHED_PROTOCOL], help="with --data: to the letter, see above")
    parser.add_argument("--vgg", type=Path, help="safetensors file of VGG-16-BN: first weights of the encoders")
    parser.add_argument("--notebook", type=Path, help="safetensors file of the notebook's SegNet, to score beside ours")
    parser.add_argument("--layer", nargs="+", default=[], metavar="NAME=PATTERN", help="e.g. ndsm=heights/{id}.tif")
    parser.add_argument("--width", type=int, help="channels of the networks' first stage")
    parser.add_argument("--long", action="store_true", help="with samples: until the validation score no longer rises")
    parser.add_argument("--sites", nargs="+", choices=list(segnet_samples.SITES), default=list(segnet_samples.SITES))
    arguments = parser.parse_args()
    arguments.data, arguments.samples = whole_or_samples(arguments.data)
    if (arguments.protocol or arguments.notebook or arguments.layer) and not arguments.data:
        parser.error("--protocol, --notebook and --layer go with --data")
    if arguments.protocol and arguments.dataset != "isprs_vaihingen":
        parser.error(f"--protocol {arguments.protocol} is that of isprs_vaihingen")
    log_warnings(smoke=arguments.smoke)
    logging.getLogger("seeds").setLevel(logging.INFO)
    smoke, out, seeds = arguments.smoke, arguments.out, arguments.seeds[: 1 if arguments.smoke else None]
    if arguments.samples:
        chosen = (arguments.samples, out, seeds, arguments.sites, arguments.rows)
        print(on_samples(*chosen, long=arguments.long, smoke=smoke, width=arguments.width))
        return
    every = rows(
        arguments.data is None, arguments.epochs, published=bool(arguments.protocol),
        vgg=str(arguments.vgg) if arguments.vgg else None, width=arguments.width,
    )  # fmt: skip
    table = choose_rows(shorten_rows(every) if smoke else every, arguments.rows)
    card = DatasetCard.load(arguments.dataset)
    if arguments.data:
        layout = THREE_BANDS[card.name] | dict(one.split("=", 1) for one in arguments.layer)
        split, title = arguments.protocol or arguments.split, card.title
        scenes = contest(card, arguments.data, split, layout)
        scenes = crop_scenes(scenes, out / "smoke") if smoke else scenes
        with_ndsm = with_heights(scenes, out, COMPOSITE, PUBLISHED, ("nir", "red", "green"))
    else:
        with_ndsm = with_heights(city_scenes(out, IRRG_BANDS, smoke=smoke), out)
        title = "The miniature city (SYNTHETIC)"
    print(on_scenes(table, with_ndsm, out, seeds, card, title_of(title, smoke=smoke), arguments.notebook))


if __name__ == "__main__":
    with plain_errors():
        main()
