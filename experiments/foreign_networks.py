"""A published network of others through the toolbox: Dynamic World's water on a real flood, next to indices and to a plain loop of ONNX Runtime.

Usage: python experiments/foreign_networks.py --data FOLDER --out FOLDER [--time] [--smoke]

FOLDER has eo_weights/dynamicworld/dynamicworld.onnx and s2_flood_series (Sentinel-2, a flood in Ireland; land, water and clouds labelled on each date). The
water of each date is scored on its clear pixels by IoU: Dynamic World by `predict`, the water of a plain loop of ONNX Runtime, what `flood` calls water, and NDWI
above 0; what only Dynamic World finds is described by its NDWI. With --time both loops are timed on one image of tiles repeated to 1,584 px, on one thread, in processor seconds. Writes table.md and results.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from script import add_smoke, plain_errors, require_files, title_of

from deepnets4eo.files import write_json, write_text
from deepnets4eo.floods import map_flood
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.processor import processor_model
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import OnnxFacts, Run, load_run
from deepnets4eo.segmenters.onnx_segmenter import DYNAMIC_WORLD_BANDS, dynamic_world_values

LAND, WATER = 1, 2  # classes of the labels
STORED = (2, 3, 4, 5, 6, 7, 8, 12, 13)  # bands of the series that the network takes
GREEN, NIR = 1, 6  # of these
DRY = 0  # of the legend of floods
MORE = "Dynamic World, not flood"
SIDE, ROUNDS = 1584, 3  # pixels: three cores of tiles
FACTS = OnnxFacts(
    legend="dynamic_world", bands=",".join(DYNAMIC_WORLD_BANDS), normalisation="dynamic_world", activation="logits"
)


def iou(water: np.ndarray, labels: np.ndarray) -> float:
    """Return the IoU of water on the clear pixels."""
    clear, true = np.isin(labels, (LAND, WATER)), labels == WATER
    return round(float((water & true)[clear].sum() / max((water | true)[clear].sum(), 1)), 3)


def plain_labels(session: Any, image: np.ndarray) -> np.ndarray:
    """Return the classes of an image (9, h, w) as a reader would compute them, in one piece."""
    values = dynamic_world_values(np.nan_to_num(image)[None].astype(np.float32), [*range(len(STORED))])
    (scores,) = session.run(None, {session.get_inputs()[0].name: values.transpose(0, 2, 3, 1)})
    return np.asarray(scores[0].argmax(axis=-1))


def flood_water(image: Path, folder: Path) -> np.ndarray:
    """Return what `flood` calls water, new or permanent, in one image."""
    map_flood([], image, folder / "flood")
    labels = Layer.open(folder / "flood" / "flood.tif").read()[0][0]
    return (labels != DRY) & (labels != 255)


def count_with_ndwi(ndwi: np.ndarray) -> dict[str, float]:
    """Return how many pixels there are, and their median NDWI."""
    return {"pixels": len(ndwi), "median NDWI": round(float(np.median(ndwi)), 2)}


def time_both(run: Run, session: Any, image: np.ndarray, folder: Path) -> dict[str, float | str]:
    """Return processor seconds of `predict` and of a plain loop over the same tiles, the fastest round of each, and their ratio."""
    height, width = image.shape[1:]
    large = np.tile(np.nan_to_num(image), (1, -(-SIDE // height), -(-SIDE // width)))[:, :SIDE, :SIDE].astype(
        np.float32
    )
    import onnxruntime

    path, tiling = folder / "large.tif", run.tiling
    with rasterio.open(path, "w", driver="GTiff", height=SIDE, width=SIDE, count=len(large), dtype="float32") as file:
        file.write(large)
        for number, name in enumerate(DYNAMIC_WORLD_BANDS, start=1):
            file.set_band_description(number, name)
    seconds: dict[str, list[float]] = {"plain loop": [], "predict": []}
    for _ in range(ROUNDS):
        start = time.process_time()
        with rasterio.open(path) as file:
            padded = np.pad(file.read(), [(0, 0)] + [(tiling.halo_px, tiling.tile_px)] * 2, mode="reflect")
        labels = np.zeros((SIDE + tiling.tile_px,) * 2, np.uint8)
        for row in range(0, SIDE, tiling.core_px):
            for col in range(0, SIDE, tiling.core_px):
                tile = padded[:, row : row + tiling.tile_px, col : col + tiling.tile_px]
                inner = slice(tiling.halo_px, tiling.halo_px + tiling.core_px)
                labels[row : row + tiling.core_px, col : col + tiling.core_px] = plain_labels(session, tile)[
                    inner, inner
                ]
        with rasterio.open(
            folder / "plain.tif",
            "w",
            driver="GTiff",
            height=SIDE,
            width=SIDE,
            count=1,
            dtype="uint8",
            compress="deflate",
        ) as out:
            out.write(labels[:SIDE, :SIDE], 1)
        seconds["plain loop"].append(time.process_time() - start)
        start = time.process_time()
        predict(run, path, folder / "ours.tif", PredictOptions(overwrite=True, workers=1))
        seconds["predict"].append(time.process_time() - start)
    same = Layer.open(folder / "ours.tif").read()[0][0] == labels[:SIDE, :SIDE]
    model, flags = processor_model()
    best = {name: min(values) for name, values in seconds.items()}
    return {name: round(value, 2) for name, value in best.items()} | {
        "ratio": round(best["plain loop"] / best["predict"], 3),
        "same labels": round(float(same.mean()), 5),
        "image px": SIDE,
        "threads": 1,
        "processor": model,
        "flags": " ".join(flag for flag in flags.split() if flag.startswith(("avx", "amx", "neon", "asimd"))),
        "onnxruntime": onnxruntime.__version__,
    }


def main() -> None:
    """Score and time, and write the tables."""
    import onnxruntime

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the samples")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--time", action="store_true", help="also time both loops, some minutes")
    add_smoke(parser)
    chosen = parser.parse_args()
    path = chosen.data / "eo_weights" / "dynamicworld" / "dynamicworld.onnx"
    run = load_run(path, facts=FACTS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    images = require_files(chosen.data / "s2_flood_series", "S2/*.tif")[
        : 1 if chosen.smoke else 4
    ]  # the fifth is all clouds
    scores: dict[str, list[float]] = {}
    ndwi_of: dict[str, list[np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for image in images:
            labels = Layer.open(image.parents[1] / "segmentation" / image.name).read()[0][0]
            with rasterio.open(image) as file:
                bands = file.read(STORED)
            predict(run, image, Path(scratch) / "map.tif", PredictOptions(overwrite=True))
            green, nir = np.nan_to_num(bands[[GREEN, NIR]])
            ways = {
                "Dynamic World": Layer.open(Path(scratch) / "map.tif").read()[0][0] == 0,
                "Dynamic World, plain loop": plain_labels(session, bands) == 0,
                "NDWI > 0": green > nir,
                "flood": flood_water(image, Path(scratch) / image.stem),
            }
            network, spectral = ways["Dynamic World"], ways["flood"]
            ndwi, labelled = (green - nir) / np.maximum(green + nir, 1e-6), labels == WATER
            for name, pixels in (
                ("both", network & spectral),
                (MORE, network & ~spectral),
                ("neither", ~network & ~spectral),
            ):
                ndwi_of.setdefault(name, []).append(ndwi[pixels & labelled])
            ndwi_of.setdefault("labelled land", []).append(ndwi[labels == LAND])
            for name, water in ways.items():
                scores.setdefault(name, []).append(iou(water, labels))
            print(image.stem, {name: values[-1] for name, values in scores.items()}, flush=True)
        speed = {} if chosen.smoke or not chosen.time else time_both(run, session, bands, Path(scratch))
    means = {name: round(float(np.mean(values)), 3) for name, values in scores.items()}
    zero = {"name": "NDWI > 0", "iou": means["NDWI > 0"]}
    days = [image.stem for image in images]
    rows = [f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |" for name, values in scores.items()]
    text = "\n".join(
        [f"# {title_of('Water of a real flood, IoU on clear pixels', smoke=chosen.smoke)}", "", f"| way | {' | '.join(days)} |",
         f"|---|{'---:|' * len(days)}", *rows, "", f"speed: {speed}", ""]
    )  # fmt: skip
    write_text(chosen.out / "table.md", text)
    write_json(
        chosen.out / "results.json",
        {
            "smoke": chosen.smoke,
            "dates": days,
            "zero": zero,
            "iou": means,
            "iou by date": {name: dict(zip(days, values, strict=True)) for name, values in scores.items()},
            "labelled pixels by who calls them water": {
                name: count_with_ndwi(np.concatenate(values)) for name, values in ndwi_of.items()
            },
            "speed": speed,
        },
    )
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
