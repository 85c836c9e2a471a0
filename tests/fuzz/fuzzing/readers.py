"""Every way by which a file comes into the package: functions of Python and verbs of the command line.

A reader takes the path of its (damaged) main file, a folder to write to, and the sound seeds for its other inputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fuzzing import read_calls as calls
from fuzzing.reader import Reader, verb

if TYPE_CHECKING:
    from fuzzing.reader import Seeds


def _options(main: Path, out: Path, sound: Seeds) -> object:
    """Odd words from the damaged file as options: what users mistype."""
    rng = np.random.default_rng(main.stat().st_size if main.is_file() else 0)
    word = str(
        rng.choice(
            [
                "nan",
                "inf",
                "-1",
                "0",
                "1e308",
                "",
                " ",
                "x",
                "1.2.3GB",
                "..GB",
                "\u00e9",
                "9" * 30,
                "EPSG:0",
                "[",
                "a,b",
                "0.5,,1",
            ]
        )
    )
    labels, image, vector = (str(sound[kind][0].path) for kind in ("labels", "raster", "vector"))
    run = str(next(seed.path for seed in sound["run"] if "pixel" in str(seed.folder)))
    choices: list[list[str]] = [
        ["predict", run, image, "--out", "{out}/a.tif", "--dry-run", "--memory", word],
        ["predict", run, image, "--out", "{out}/a.tif", "--dry-run", "--set", f"scales={word}"],
        ["predict", run, image, "--out", "{out}/a.tif", "--set", f"tile_px={word}"],
        ["damage", image, image, vector, "--out", "{out}/d", "--dry-run", "--footprints-crs", word],
        ["damage", image, image, vector, "--out", "{out}/d", "--dry-run", "--set", f"layer={word}"],
        ["damage", image, image, vector, "--out", "{out}/d", "--dry-run", "--set", f"damaged_share={word}"],
        ["register", image, image, "--set", f"max_shift_m={word}"],
        ["evaluate", labels, labels, "--figure", "{out}/figure." + word.replace("/", "")],
        ["evaluate", labels, labels, "--legend", word],
        ["evaluate", labels, labels, "--ignore", word, "--erode", "1"],
        ["polygons", labels, "--out", "{out}/a.gpkg", "--simplify", word],
        ["polygons", labels, "--out", "{out}/a.gpkg", "--min-area", word],
        ["polygons", labels, "--out", "{out}/a.gpkg", "--classes", word],
        ["objects", labels, "car", "--out", "{out}/a.gpkg", "--set", f"opening_m={word}"],
        ["objects", labels, "car", "--out", "{out}/a.gpkg", "--density", "{out}/d.tif", "--set", f"cell_m={word}"],
        ["layers", "heights", "{heights}", "--out", "{out}/a.tif", "--max-building-m", word],
        ["layers", "osm", image, "{osm}", "--out", "{out}/a.tif", "--encoding", "distance", "--set", f"clip_m={word}"],
        ["train", "unet-resnet34", "--out", "{out}/run", "--set", f"train.epochs={word}"],
        ["train", "unet-resnet34", "--out", "{out}/run", "--set", word],
    ]  # fmt: skip
    return verb(*choices[int(rng.integers(len(choices)))])(main, out, sound)


ANY_YAML = ("legend", "dataset-card", "recipe", "rules", "osm-rules")
FRAMES = ("frames-posed", "frames-sun-rgbd", "frames-organised", "frames-nyuv2")
READERS: tuple[Reader, ...] = (
    Reader("read_yaml", ANY_YAML, calls.yaml),
    Reader("read_json", ("scores",), calls.json),
    Reader("Layer", ("raster", "heights"), calls.layer),
    Reader("Scene", ("raster",), calls.scene),
    Reader("Cube", ("cube",), calls.cube),
    Reader("check cube", ("cube",), verb("check", "{main}")),
    Reader("open_cloud", ("points",), calls.points),
    Reader("label_cloud", ("points",), calls.label_points),
    Reader("find_frames", FRAMES, calls.frames),
    Reader("check points", ("points",), verb("check", "{main}")),
    Reader("Legend", ("legend",), calls.legend),
    Reader("DatasetCard", ("dataset-card", "dataset"), calls.dataset_card),
    Reader("load_recipe", ("recipe",), calls.recipe),
    Reader("RuleTable", ("rules",), calls.rules),
    Reader("OsmRules", ("osm-rules",), calls.osm_rules),
    Reader("ShakeMapGrid", ("shakemap",), calls.shakemap),
    Reader("prior curves", ("curves",), calls.curves),
    Reader("DamageModel", ("damage-model",), calls.damage_model),
    Reader("load_run", ("run",), calls.run),
    Reader("load_run again", ("run",), calls.run),
    Reader("DecisionModel", ("grader-run",), calls.grader),
    Reader("load_state", ("state",), calls.state),
    Reader("RowJournal", ("journal",), calls.journal),
    Reader("predict --resume", ("resumed",), calls.resume),
    Reader("load_bank", ("bank",), calls.bank),
    Reader("Journal.recall", ("blocks",), calls.block),
    Reader("read_tensors", ("weights",), calls.weights),
    Reader("first weights", ("weights",), calls.first_weights),
    Reader("read_footprints", ("vector",), calls.footprints),
    Reader("read_footprints again", ("vector",), calls.footprints),
    Reader("read_pairs", ("pairs",), calls.pairs),
    Reader("options", ("legend",), _options),
    Reader("check raster", ("raster", "labels", "heights"), verb("check", "{main}", "{raster}")),
    Reader("check vector", ("vector",), verb("check", "{main}", "{raster}")),
    Reader("check run", ("run",), verb("check", "{main}")),
    Reader("check --dataset", ("dataset",), verb("check", "{folder}", "--dataset", "{main}")),
    Reader("check pairs", ("pairs",), verb("check", "{main}")),
    Reader("damage pre", ("raster",), verb("damage", "{main}", "{raster}", "{vector}", "--out", "{out}/d", "--dry-run")),
    Reader("damage footprints", ("vector",), verb("damage", "-", "{raster}", "{main}", "--out", "{out}/d", "--dry-run")),
    Reader("damage whole", ("raster",), verb("damage", "{raster}", "{main}", "{vector}", "--out", "{out}/d", "--workers", "1")),
    Reader("damage outlines", ("vector",), verb("damage", "-", "{raster}", "{main}", "--out", "{out}/d", "--workers", "1")),
    Reader("damage --model", ("damage-model", "grader-run"), verb("damage", "-", "{raster}", "{vector}", "--out", "{out}/d", "--model", "{main}", "--workers", "1")),
    Reader("register", ("raster",), verb("register", "{main}", "{raster}", "--json", "-")),
    Reader("predict scene", ("raster",), verb("predict", "{run}", "{main}", "--out", "{out}/a.tif", "--set", "threads=1")),
    Reader("predict run", ("run",), verb("predict", "{main}", "{raster}", "--out", "{out}/a.tif", "--dry-run")),
    Reader("evaluate", ("labels",), verb("evaluate", "{main}", "{labels}", "--erode", "1")),
    Reader("evaluate --set against", ("scores",), verb("evaluate", "{labels}", "{labels}", "--set", "against={main}")),
    Reader("evaluate --dataset", ("dataset",), verb("evaluate", "{folder}/labels", "{folder}", "--dataset", "{main}")),
    Reader("polygons", ("labels",), verb("polygons", "{main}", "--out", "{out}/a.gpkg", "--right-angles", "--simplify", "0.5")),
    Reader("objects", ("labels",), verb("objects", "{main}", "car", "--out", "{out}/a.gpkg", "--density", "{out}/d.tif")),
    Reader("layers heights --dtm", ("heights",), verb("layers", "heights", "{heights}", "--dtm", "{main}", "--out", "{out}/a.tif")),
    Reader("outcome", ("scores",), calls.outcome),
    Reader("heights", ("heights",), verb("layers", "heights", "{main}", "--out", "{out}/a.tif", "--channels", "ndsm,slope")),
    Reader("layers osm tags", ("osm",), verb("layers", "osm", "{raster}", "{main}", "--out", "{out}/a.tif", "--encoding", "distance")),
    Reader("layers osm class=file", ("vector",), verb("layers", "osm", "{raster}", "buildings={main}", "--out", "{out}/a.tif")),
    Reader("layers osm --coverage", ("vector",), verb("layers", "osm", "{raster}", "buildings={vector}", "--coverage", "{main}", "--out", "{out}/a.tif")),
    Reader("layers osm --rules", ("osm-rules",), verb("layers", "osm", "{raster}", "{osm}", "--rules", "{main}", "--out", "{out}/a.tif")),
    Reader("layers osm image", ("raster",), verb("layers", "osm", "{main}", "buildings={vector}", "--out", "{out}/a.tif")),
    Reader("xview2", ("xview2",), calls.xview2),
    Reader("train", ("recipe",), verb("train", "{main}", "--data", "{out}", "--out", "{out}/run", "--set", "legend=isprs")),
    Reader("list_images", ("images",), calls.images),
    Reader("check images", ("images",), verb("check", "{main}")),
    Reader("find_buildings", ("outlines",), calls.outlines),
    Reader("Overpass", ("overpass",), calls.overpass),
    Reader("STAC", ("stac",), calls.layer),
    Reader("find", ("catalogue",), verb("find", "--catalogue", "{main}", "--bbox", "3", "45", "3.01", "45.01", "--date", "2011-05-22", "--out", "{out}/p.yaml")),
    Reader("check plan", ("plan",), verb("check", "{main}")),
    Reader("datasets", ("dataset-card",), verb("datasets", "{main}")),
    Reader("Layer of Zarr", ("zarr",), calls.plain_layer),
    Reader("check Zarr", ("zarr",), verb("check", "{main}")),
    Reader("review sample", ("drawn",), verb("review", "{main}")),
    Reader("MapReview", ("drawn",), calls.drawn),
    Reader("review map", ("map",), verb("review", "{main}")),
    Reader("review --next", ("map",), verb("review", "{main}", "--next", "3", "--update")),
    Reader("DamageMap", ("map",), calls.damage_map),
    Reader("assistant", ("map",), calls.assistant),
    Reader("compare map", ("map",), verb("compare", "{map}", "{main}", "--out", "{out}/c")),
    Reader("compare other", ("vector",), verb("compare", "{map}", "{main}", "--out", "{out}/c", "--set", "grade=damage")),
    Reader("damage plan", ("planned",), verb("damage", "{main}", "--out", "{out}/d", "--dry-run")),
    Reader("predict integers", ("integers",), verb("predict", "{main}", "{raster}", "--out", "{out}/a.tif", "--runtime", "onnx-int8", "--set", "threads=1")),
    Reader("damage --areas", ("vector",), verb("damage", "-", "{raster}", "{vector}", "--areas", "{main}", "--out", "{out}/d", "--dry-run")),
    Reader("damage --cloud-mask", ("mask",), verb("damage", "-", "{raster}", "{vector}", "--cloud-mask", "{main}", "--out", "{out}/d", "--dry-run")),
    Reader("change", ("raster",), verb("change", "{raster}", "{main}", "--out", "{out}/c", "--method", "cosine", "--assume-registered", "--workers", "1")),
    Reader("flood", ("raster",), verb("flood", "{raster}", "{main}", "--out", "{out}/f", "--dry-run")),
    Reader("flood --permanent-water", ("mask",), verb("flood", "{raster}", "--permanent-water", "{main}", "--out", "{out}/f", "--dry-run")),
    Reader("rubble", ("points",), verb("rubble", "{main}", "--footprints", "{vector}", "--out", "{out}/r")),
    Reader("suspects", ("raster",), verb("suspects", "{main}", "{labels}", "--out", "{out}/s.gpkg")),
    Reader("refine", ("scored",), verb("layers", "refine", "{main}", "{raster}", "--out", "{out}/p.tif", "--workers", "1")),
    Reader("transitions", ("labels",), verb("layers", "transitions", "{labels}", "{main}", "--out", "{out}/p.tif")),
    Reader("encoder=FILE", ("encoder",), calls.encoder),
)  # fmt: skip
