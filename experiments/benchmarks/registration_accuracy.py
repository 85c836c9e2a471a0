"""How exact registration is, and whether its quality thresholds separate good pairs from bad ones.

Known shifts, turns and scales are put on made-up images and, where samples are given, on real ones: a real pre
and post image of one scene are warped against each other by a known motion. Unrelated pairs must fail.
Run: python experiments/benchmarks/registration_accuracy.py [FOLDER OF REAL SAMPLES]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy import ndimage

from deepnets4eo.grid import apply_affine
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.registration import Registration, register

GSD_M = 0.5
UNRELATED = ("levir_cd", "dsifn_cd")  # whose images are put beside those of other places
SAMPLES = ("joplin", *UNRELATED)
MOTIONS = {
    "none": Affine.identity(),
    "shift 3.3, -1.7 m": Affine.translation(3.3, -1.7),
    "shift -14, 21 m": Affine.translation(-14.0, 21.0),
    "turn 1 degree": Affine.rotation(1.0),
    "turn 2.5 degrees": Affine.rotation(2.5),
    "scale 1.03": Affine.scale(1.03),
    "turn -0.7, scale 0.98, shift 4, 2 m": Affine.translation(4.0, 2.0) * Affine.rotation(-0.7) * Affine.scale(0.98),
}


class Case(NamedTuple):
    """A pair of layers and the motion between them, in metres about the middle; None for unrelated images."""

    name: str
    pre: Layer
    post: Layer
    motion: Affine | None
    own: Registration | None = None  # registration of the pair without the motion


def make_scene(seed: int, side: int) -> NDArray[np.float32]:
    """A made-up view from above: fields, roads, houses and noise, (side, side) float32."""
    rng = np.random.default_rng(seed)
    image = 90 + 30 * ndimage.zoom(rng.standard_normal((side // 32 + 2, side // 32 + 2)), 32, order=1)[:side, :side]
    for start in rng.integers(0, side, side // 90):
        image[:, start : start + 12] = 130
        start = rng.integers(0, side)
        image[start : start + 12, :] = 120
    for _ in range(side * side // 2500):
        row, col = rng.integers(0, side - 40, 2)
        height, width = rng.integers(12, 34, 2)
        image[row : row + height, col : col + width] = rng.uniform(40, 220)
    return ndimage.gaussian_filter(image, 0.7).astype(np.float32)


def later(image: NDArray[np.float32], kind: str, seed: int) -> NDArray[np.float32]:
    """The scene at another time: noise, negative contrast, another gain for each part, or a third of it changed."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal(image.shape), 0.7) * 12
    if kind == "inverted":
        return (255 - image + noise).astype(np.float32)
    if kind == "season":
        gain = ndimage.zoom(rng.uniform(-1, 1, (9, 9)), (image.shape[0] / 9, image.shape[1] / 9), order=0)
        return (image * gain[: image.shape[0], : image.shape[1]] + noise).astype(np.float32)
    if kind == "a third changed":
        other = make_scene(seed + 1000, image.shape[0])
        mask = ndimage.zoom(rng.random((12, 12)), image.shape[0] / 12, order=0)[: image.shape[0], : image.shape[1]]
        return (np.where(mask < 1 / 3, other, image) + noise).astype(np.float32)
    return (image + noise).astype(np.float32)


def move(image: NDArray[np.float32], motion: Affine, gsd_m: float) -> NDArray[np.float32]:
    """The image such that what was at point p about the middle is at motion(p), metres, x right and y down."""
    middle = np.array(image.shape) / 2 - 0.5
    back = ~motion
    matrix = np.array([[back.e, back.d], [back.b, back.a]])
    offset = middle - matrix @ middle + np.array([back.f, back.c]) / gsd_m
    return ndimage.affine_transform(image, matrix, offset, order=3, mode="reflect").astype(np.float32)


def made_up_cases() -> Iterator[Case]:
    for kind in ("same light", "inverted", "season", "a third changed"):
        for name, motion in MOTIONS.items():
            image = make_scene(3, 900)
            yield Case(
                f"made-up, {kind}, {name}", _layer(move(image, motion, GSD_M)), _layer(later(image, kind, 5)), motion
            )
    for seed in range(8):
        yield Case(
            f"made-up, unrelated {seed}", _layer(make_scene(10 + seed, 500)), _layer(make_scene(40 + seed, 500)), None
        )


def real_cases(folder: Path) -> Iterator[Case]:
    """Joplin: the pre image moved by known motions against the real post image; LEVIR and DSIFN: mismatched pairs."""
    pre = Layer.open(folder / "joplin" / "pre")
    post = Layer.open(folder / "joplin" / "post").on(pre.grid)
    before = pre.read()[0].mean(axis=0, dtype=np.float32)
    data, valid = post.read()
    after = np.where(valid, data.mean(axis=0, dtype=np.float32), np.nan)
    grid = GeoBox(before.shape, Affine.scale(0.6), None)
    own = register(Layer.open(before, grid=grid), Layer.open(after, grid=grid))
    for name, motion in MOTIONS.items():
        yield Case(
            f"joplin, {name}",
            Layer.open(move(before, motion, 0.6), grid=grid),
            Layer.open(after, grid=grid),
            motion,
            own,
        )
    for sample in UNRELATED:
        files = [path for path in sorted((folder / sample / "A").glob("*.png")) if "113" not in path.name]
        for step in (1, 2, 3):
            for i, first in enumerate(files):
                second = files[(i + step) % len(files)]
                early, late = (Layer.open(str(path)) for path in (first, second.parents[1] / "B" / second.name))
                yield Case(f"{sample}, {first.stem} with {second.stem}", early, late, None)


def _layer(image: NDArray[np.float32]) -> Layer:
    grid = GeoBox(image.shape, Affine.scale(GSD_M), None)
    return Layer.open(np.clip(image, 0, 255).astype(np.uint8), grid=grid)


def error_m(registration: Registration, case: Case) -> float:
    """Largest distance, over a grid of points well inside, between the found and the true position in the pre image.

    The truth is the motion put on top of what the pair itself has, as found without any motion.
    """
    height, width = case.pre.shape
    share = np.linspace(0.15, 0.85, 5)
    pixels = np.stack(np.meshgrid(share * width, share * height), -1).reshape(-1, 2)
    ground = apply_affine(case.pre.grid.affine, pixels)
    middle = np.array(case.pre.grid.affine * (width / 2, height / 2))
    start = case.own.to_pre(ground) if case.own is not None else ground
    truth = apply_affine(case.motion or Affine.identity(), start - middle) + middle
    return float(np.hypot(*(registration.to_pre(ground) - truth).T).max())


def main() -> int:
    """Print one line a pair with a known motion, and how many unrelated pairs were not refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path, nargs="?", help=f"folder with {', '.join(SAMPLES)}; none: made-up images")
    folder = parser.parse_args().samples
    if folder is not None and (missing := [name for name in SAMPLES if not (folder / name).is_dir()]):
        parser.error(f"{folder} lacks {', '.join(missing)}: give a folder that has all of {', '.join(SAMPLES)}")
    cases = list(made_up_cases()) + (list(real_cases(folder)) if folder is not None else [])
    unrelated, missed, scores = 0, 0, []
    for case in cases:
        start = time.perf_counter()
        registration = register(case.pre, case.post)
        seconds = time.perf_counter() - start
        if case.motion is None:
            unrelated += 1
            missed += registration.status != "failed"
            scores.append(registration.measured.split_score)
            continue
        print(
            f"{case.name:62s} {registration.status:8s} {registration.model:11s} largest error {error_m(registration, case):6.2f} m, hold-out "
            f"residual {registration.residual_m:5.2f} m, {registration.inliers:3d} inliers, {seconds:.1f} s {registration.reason}",
            flush=True,
        )
    print(f"unrelated pairs that were not refused: {missed} of {unrelated}")
    print(f"scores of their halves' votes, highest three: {np.sort(scores)[-3:].round(2).tolist()}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
