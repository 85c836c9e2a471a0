"""Peak memory and speed of baselines over scenes of two sizes, each prediction in a process of its own.

Run: python experiments/benchmarks/baseline_prediction.py [--sizes 1500 6000 --methods hog-svm rgb-svm …]
Prints MPix/s, the peak resident set and its ratio to that of the smallest scene. Each method is its recipe, fitted on
a made-up scene of four classes: the labels mean nothing, the work is that of a real map.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from prediction_case import BLOCK_PX, make_legend, make_scene

from deepnets4eo.grid import Window
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.segmenters.run import load_run
from deepnets4eo.training import train

METHODS = ("hog-svm", "rgb-svm", "random-forest", "hsv-svm", "som")
TRAIN_PX = 1024


def fit(method: str, folder: Path) -> Path:
    """A run of a recipe on a scene whose labels follow the brightness of its blocks."""
    scene = make_scene(folder / "train.tif", TRAIN_PX)
    image = Layer.open(scene).read(Window(0, 0, TRAIN_PX, TRAIN_PX))[0].astype(np.float32)
    coarse = image.mean(axis=0).reshape(TRAIN_PX // 32, 32, -1, 32).mean(axis=(1, 3))
    class_map = np.digitize(coarse, np.quantile(coarse, (0.25, 0.5, 0.75))).astype(np.uint8)
    labels = np.kron(class_map, np.ones((32, 32), np.uint8))
    _write_like(scene, folder / "labels.tif", labels)
    sources = f"data.scenes=[{{image: {scene}, labels: {folder / 'labels.tif'}}}]"
    legend = make_legend(4).to_dict()
    overrides = [sources, f"legend={legend}", "model.max_samples=2000", f"data.block_px={BLOCK_PX // 4}"]
    return train(f"baselines/{method}", folder / "run", overrides=overrides)


def _write_like(scene: Path, path: Path, labels: np.ndarray) -> None:
    import rasterio

    with rasterio.open(scene) as source:
        profile = source.profile | {"count": 1}
    with rasterio.open(path, "w", **profile) as file:
        file.write(labels, 1)


def in_this_process(run: Path, scene: Path, out: Path) -> None:
    """One prediction; prints its seconds."""
    from deepnets4eo.prediction import PredictOptions, predict

    print(predict(load_run(run), scene, out, PredictOptions(threads=1)).seconds)


def measure(run: Path, scene: Path) -> tuple[float, float]:
    """Seconds and peak resident set (MB) of a child process that predicts."""
    with tempfile.TemporaryDirectory(dir=scene.parent) as folder:
        command = [sys.executable, __file__, "--child", str(run), str(scene), str(Path(folder) / "labels.tif")]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout, "a pipe was requested"
        seconds = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            raise SystemExit(f"the prediction of {scene.name} failed")
        return float(seconds), usage.ru_maxrss * 1024 / 1e6


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1500, 6000])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--child", type=Path, nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        in_this_process(*arguments.child)
        return
    for method in arguments.methods:
        with tempfile.TemporaryDirectory() as folder:
            run, first = fit(method, Path(folder)), 0.0
            for size in arguments.sizes:
                scene = make_scene(Path(folder) / f"{size}.tif", size)
                seconds, peak = measure(run, scene)
                first = first or peak
                speed = size**2 / seconds / 1e6
                print(
                    f"{method}, {size}² px: {speed:.2f} MPix/s, peak {peak:.0f} MB, ratio {peak / first:.3f}",
                    flush=True,
                )
                scene.unlink()


if __name__ == "__main__":
    main()
