"""How fast classical methods label a cube of many bands, file to file, beside scikit-learn on the flattened cube.

Run: python experiments/benchmarks/hyperspectral_classical.py [--bands 103 --methods lda sam …]
On a made-up cube of 610 × 340 pixels (the size of Pavia University) of nine classes, in one run and one thread: (1) our
`predict` of a fitted run, from a GeoTIFF to a GeoTIFF with legend; (2) the plain way: scikit-learn's own estimator,
fitted to as many samples, on the cube as one array in memory (without reading, checks and writing). Prints MPix per second of
processor time of both, their ratio, how many labels agree with the made-up truth, and the peak memory, cube included.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
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

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.baselines.estimators import EstimatorOptions, build_estimator
from deepnets4eo.cards.legend import Legend, LegendClass
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.prediction.memory import peak_bytes
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.run import load_run, save_run

CLASSES = 9
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
    fields = ndimage.gaussian_filter(rng.normal(size=(CLASSES, *shape)), (0, 6, 6))
    classes = fields.argmax(axis=0).astype(np.uint8)
    curves = ndimage.gaussian_filter1d(rng.normal(size=(CLASSES, bands)), bands / 12, axis=1)
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
    return Legend("nine", tuple(LegendClass(k, f"class_{k}", (k + 1, 255 - k, 2 * k)) for k in range(CLASSES)))


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=2, default=[610, 340])
    parser.add_argument("--bands", type=int, default=103)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    arguments = parser.parse_args()
    shape = tuple(arguments.shape)
    cube, classes = make_cube(shape, arguments.bands)
    flat = cube.reshape(len(cube), -1).T.astype(np.float32)
    million = classes.size / 1e6
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
            line = f"{method}: {million / ours_s:.2f} MPix/s file to file ({right:.1%} right)"
            if plain is not None:
                chosen = np.random.default_rng(0).choice(classes.size, SAMPLES, replace=False)
                estimator = plain().fit(flat[chosen], classes.ravel()[chosen])
                start = time.process_time()
                plain_labels = estimator.predict(flat)
                plain_s = time.process_time() - start
                right = (plain_labels == classes.ravel()).mean()
                line += f"; plain predict in memory {million / plain_s:.2f} ({right:.1%}): ratio {plain_s / ours_s:.2f}"
            print(f"{line}; peak {peak_bytes() / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
