"""Speed of methods for cubes of many bands, beside the plain ways.

Run: python experiments/benchmarks/hyperspectral.py classical|dense [options, see --help of each]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[1]))
from script import add_json, store_part

from deepnets4eo.arrays import Batch
from deepnets4eo.baselines import EstimatorOptions, PixelClassifier, build_estimator
from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.device import choose, keep_freed_memory
from deepnets4eo.hyperspectral import PatchClassifier
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.processor import fastest_precision
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, create_model, load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.system import peak_bytes

CLASSES_CLASSICAL = 9
SAMPLES = 1800  # 200 a class, as in many papers


class AngleByFormula:
    """The spectral angle mapper as one writes it down: all cosines, then the nearest."""

    def fit(self, vectors: NDArray[Any], classes: NDArray[Any]) -> AngleByFormula:
        """Mean spectra."""
        self.classes_ = np.unique(classes)
        self.means = np.stack([vectors[classes == value].mean(axis=0) for value in self.classes_])
        return self

    def predict(self, vectors: NDArray[Any]) -> NDArray[Any]:
        """The nearest."""
        lengths = np.linalg.norm(vectors, axis=1)[:, None] * np.linalg.norm(self.means, axis=1)
        return self.classes_[np.arccos(np.clip(vectors @ self.means.T / lengths, -1, 1)).argmin(axis=1)]


# name → settings of our estimator, features, the plain estimator (None: there is no counterpart)
METHODS: dict[str, tuple[dict[str, Any], tuple[str, ...], Callable[[], Any] | None]] = {
    "lda": ({"name": "lda"}, ("pixels",), LinearDiscriminantAnalysis),
    "sam": ({"name": "sam"}, ("pixels",), AngleByFormula),
    "linear_svm": ({"name": "linear_svm"}, ("pixels",), lambda: make_pipeline(StandardScaler(), LinearSVC())),
    "rbf_svm": (
        {"name": "rbf_svm", "C": 10.0}, ("pixels",),
        lambda: make_pipeline(StandardScaler(), SVC(C=10, gamma="scale")),
    ),
    "nystroem_svm": ({"name": "nystroem_svm", "C": 10.0, "components": 300}, ("pixels",), None),
    "random_forest": (
        {"name": "random_forest", "trees": 100, "scaling": "none"}, ("pixels",),
        lambda: RandomForestClassifier(100, random_state=0),
    ),
    "knn": (
        {"name": "knn", "neighbours": 5}, ("pixels",),
        lambda: make_pipeline(StandardScaler(), KNeighborsClassifier(5, weights="distance", algorithm="brute")),
    ),
    "profile_svm": ({"name": "rbf_svm", "C": 10.0}, ("extended_profile",), None),
}  # fmt: skip


def make_cube(shape: tuple[int, int], bands: int, seed: int = 0) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Smooth spectra of nine classes in patches, under varied light, with noise: (B, H, W) uint16, classes (H, W)."""
    rng = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(rng.normal(size=(CLASSES_CLASSICAL, *shape)), (0, 6, 6))
    classes = fields.argmax(axis=0).astype(np.uint8)
    curves = ndimage.gaussian_filter1d(rng.normal(size=(CLASSES_CLASSICAL, bands)), bands / 12, axis=1)
    curves = 2000 * (1.2 + 0.6 * curves / curves.std())
    light = 1 + 0.15 * ndimage.gaussian_filter(rng.normal(size=shape), 3) * 6
    cube = np.empty((bands, *shape), np.uint16)
    for band in range(bands):
        cube[band] = np.clip(curves[classes, band] * light + rng.normal(0, 150, shape), 1, 65_000)
    return cube, classes


def write_cube(path: Path, cube: NDArray[np.uint16]) -> Path:
    """A tiled GeoTIFF."""
    count, height, width = cube.shape
    profile = {"driver": "GTiff", "count": count, "dtype": "uint16", "height": height, "width": width}
    layout = {"tiled": True, "blockxsize": 128, "blockysize": 128, "crs": "EPSG:32632"}
    with rasterio.open(path, "w", **profile, **layout, transform=Affine(1.3, 0, 500_000, 0, -1.3, 5_000_000)) as file:
        file.write(cube)
    return path


def legend() -> Legend:
    """Nine classes without meaning."""
    return Legend(
        "nine", tuple(LegendClass(k, f"class_{k}", (k + 1, 255 - k, 2 * k)) for k in range(CLASSES_CLASSICAL))
    )


def classical(words: list[str]) -> None:
    """How fast classical methods label a cube of many bands, file to file, beside scikit-learn on the flattened cube.

    Run: python experiments/benchmarks/hyperspectral.py classical [--bands 103 --methods lda sam …]
    On a made-up cube of 610 × 340 pixels (the size of Pavia University) of nine classes, in one run and one thread: (1) our
    `predict` of a fitted run, from a GeoTIFF to a GeoTIFF with legend; (2) the plain way: scikit-learn's own estimator,
    fitted to as many samples, on the cube as one array in memory (without reading, checks and writing). Prints MPix per second of
    processor time of both, their ratio, how many labels agree with the made-up truth, and the peak memory, cube included.
    """
    parser = argparse.ArgumentParser(
        "hyperspectral.py classical",
        description=classical.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--shape", type=int, nargs=2, default=[610, 340])
    parser.add_argument("--bands", type=int, default=103)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    add_json(parser)
    arguments = parser.parse_args(words)
    shape = tuple(arguments.shape)
    cube, classes = make_cube(shape, arguments.bands)
    flat = cube.reshape(len(cube), -1).T.astype(np.float32)
    million, figures = classes.size / 1e6, {}
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1):
        folder = Path(name)
        path = write_cube(folder / "cube.tif", cube)
        scene = Scene.open(image=path, labels=classes)
        inputs = InputSpec.measure([scene])
        for method in arguments.methods:
            settings, features, plain = METHODS[method]
            classifier = PixelClassifier(
                build_estimator(EstimatorOptions(**settings)), inputs, legend(), features=features
            )
            classifier.fit([scene], max_pixels=SAMPLES)
            run = load_run(save_run(classifier, folder / method))
            start = time.process_time()
            labels = predict(run, path, folder / f"{method}.tif", PredictOptions(threads=1, workers=1)).paths["labels"]
            ours_s = time.process_time() - start
            right = (Layer.open(labels).read()[0][0] == classes).mean()
            figures[method] = {"mpix_per_s": round(million / ours_s, 4)}
            line = f"{method}: {million / ours_s:.2f} MPix/s file to file ({right:.1%} right)"
            if plain is not None:
                chosen = np.random.default_rng(0).choice(classes.size, SAMPLES, replace=False)
                estimator = plain().fit(flat[chosen], classes.ravel()[chosen])
                start = time.process_time()
                plain_labels = estimator.predict(flat)
                plain_s = time.process_time() - start
                right = (plain_labels == classes.ravel()).mean()
                figures[method] |= {
                    "plain_mpix_per_s": round(million / plain_s, 4),
                    "ratio": round(plain_s / ours_s, 4),
                }
                line += f"; plain predict in memory {million / plain_s:.2f} ({right:.1%}): ratio {plain_s / ours_s:.2f}"
            print(f"{line}; peak {peak_bytes() / 1e6:.0f} MB", flush=True)
    store_part(arguments.json, "classical", synthetic=True, shape=list(shape), bands=arguments.bands, methods=figures)


NETWORKS = ("nn", "hu", "boulch", "mou", "hamida", "lee", "li", "he", "liu", "chen", "sharma", "luo")
GOALS = {"hamida": 4, "li": 3, "he": 8, "liu": 8, "chen": 25, "sharma": 25, "hu": 5, "nn": 5, "mou": 5, "boulch": 5}
BATCH = 100
CORE_PX = 128
CLASSES_DENSE = 9


def slide(network: PatchClassifier, cube: Batch, pixels: int) -> np.ndarray:
    """Scores (K, pixels) of the first pixels of a mirrored cube (B, h, w), patch by patch, 100 together."""
    side, width = network.patch_px, cube.shape[2] - network.patch_px + 1
    scores = np.zeros((CLASSES_DENSE, pixels), np.float32)
    for first in range(0, pixels, BATCH):
        positions = range(first, min(first + BATCH, pixels))
        patches = [cube[:, n // width : n // width + side, n % width : n % width + side] for n in positions]
        batch = network.patch_scores(torch.from_numpy(np.stack(patches))).numpy()
        for position, one in zip(positions, batch, strict=True):
            scores[:, position] += one
    return scores


def label_whole(network: PatchClassifier, cube: Batch, precision: str) -> np.ndarray:
    """Scores (K, h, w) of a mirrored cube, tile by tile, as prediction computes them."""
    before, context = network.patch_px // 2, network.before_px + network.after_px
    height, width = (size - network.patch_px + 1 for size in cube.shape[1:])
    first = before - network.before_px
    image = torch.from_numpy(cube)[None, :, first : first + height + context, first : first + width + context]
    scores = np.zeros((CLASSES_DENSE, height, width), np.float32)
    for row in range(0, height, CORE_PX):
        for col in range(0, width, CORE_PX):
            tile = image[:, :, row : row + CORE_PX + context, col : col + CORE_PX + context]
            inner = network.window_scores(tile.to(getattr(torch, precision)))
            scores[:, row : row + CORE_PX, col : col + CORE_PX] = inner[0].float().numpy()
    return scores


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the processor seconds of the fastest of several runs, after a first one."""
    work()
    taken = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def compare(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Print one row of the table; returns how many times as fast dense passes are by precision, and the share of equal labels."""
    torch.manual_seed(0)
    network = cast(
        PatchClassifier, create_model(f"hyperspectral/{name}", in_channels=options.bands, num_classes=CLASSES_DENSE)
    ).eval()
    rows, cols = (min(size, options.crop or size) for size in (options.rows, options.cols))
    margin = network.patch_px - 1
    cube = np.random.default_rng(0).random((options.bands, rows + margin, cols + margin), np.float32)
    scene, pixels = options.rows * options.cols, min(options.pixels, rows * cols)
    sliding = seconds(partial(slide, network, cube, pixels), options.repeats) * scene / pixels
    precisions = ["float32", "bfloat16"] if fastest_precision() == "bfloat16" else ["float32"]
    cells: list[str] = []
    figures: dict[str, float] = {}
    exact = label_whole(network, cube, "float32")
    difference = np.abs(exact.reshape(CLASSES_DENSE, -1)[:, :pixels] - slide(network, cube, pixels)).max() / np.ptp(
        exact
    )
    for precision in precisions:
        network.to(getattr(torch, precision))
        dense = seconds(partial(label_whole, network, cube, precision), options.repeats) * scene / (rows * cols)
        same = (label_whole(network, cube, precision).argmax(axis=0) == exact.argmax(axis=0)).mean()
        figures[precision] = round(sliding / dense, 4)
        if precision != "float32":
            figures["equal_labels_percent"] = round(100 * float(same), 3)
        cells.append(f"{dense:9.2f} s {sliding / dense:6.1f} x" + (f" {same:7.2%}" if precision != "float32" else ""))
    print(
        f"{name:8} {sliding:9.1f} s  {' '.join(cells)}  goal {GOALS.get(name, '-')}  differs by {difference:.1e}",
        flush=True,
    )
    return figures


def time_dense(words: list[str]) -> None:
    """Whole cubes in one pass against sliding patches in batches of 100: seconds for one scene, with the same weights.

    Run: python experiments/benchmarks/hyperspectral.py dense [--networks hamida li --rows 610 --cols 340 --bands 103]
    Sliding: patches are cut one by one and stacked, the network labels 100 at a time with its published layers in float32,
    and each pixel's scores are written back, as public toolboxes do. It is measured on --pixels pixels and extrapolated to the
    scene. Dense: tiles of the segmenter's own size, in float32 and, if `--precision auto` takes it on this CPU, in
    bfloat16. Both without reading files. --crop measures dense passes on so many rows and columns and
    extrapolates them, too (0: the whole scene). Seconds are of processor time.
    """
    parser = argparse.ArgumentParser(
        "hyperspectral.py dense", description=time_dense.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    for name, value in {"rows": 610, "cols": 340, "bands": 103, "pixels": 400, "crop": 0, "repeats": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--threads", type=int, default=None)
    add_json(parser)
    options = parser.parse_args(words)
    torch.set_num_threads(choose("cpu", threads=options.threads).threads)
    print(
        f"{options.rows} x {options.cols} x {options.bands}, {torch.get_num_threads()} threads; seconds for the scene,"
    )
    print(
        f"sliding from {options.pixels} pixels; then dense and its ratio in float32, and in bfloat16 with equal labels"
    )
    figures = {}
    with torch.inference_mode(), keep_freed_memory():  # as prediction does
        for name in options.networks:
            figures[name] = compare(name, options)
    store_part(
        options.json, "dense", threads=torch.get_num_threads(), shape=[options.rows, options.cols], bands=options.bands,
        measured_px=options.crop**2 or options.rows * options.cols, sliding_px=options.pixels, networks=figures,
    )  # fmt: skip


PARTS = {"classical": classical, "dense": time_dense}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        raise SystemExit(f"Name what is measured: {', '.join(PARTS)}.")
    PARTS[sys.argv[1]](sys.argv[2:])
