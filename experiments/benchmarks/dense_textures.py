"""Dense textures against the loop over patches with scikit-image's functions; every ratio from one run, one thread.

Run: python experiments/benchmarks/dense_textures.py [--side 512 --stride 4 --sample 500]
The image is a piece of the miniature city. The plain ways take a sample of the sites; their time is scaled to all of
them by number, and values are compared at the sample. Processor time, the fastest of some runs of the dense way.
LBP is listed twice: against patterns and counts of each patch, and against the harder rival, scikit-image's patterns
of the whole image with only the counting in the loop. Gabor has scikit-image's filter over the whole image as rival.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from skimage.feature import graycomatrix, graycoprops, hog, local_binary_pattern
from skimage.filters import gabor
from threadpoolctl import threadpool_limits

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features import Feature, build_features
from deepnets4eo.baselines.features.texture import GABOR, GLCM, LBP, MEASURES, grey_levels
from deepnets4eo.synthetic import City

AtSite = Callable[[int, int], np.ndarray]
ANGLES = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]


def hog_of_patch(bands: Bands, side_px: int) -> AtSite:
    """scikit-image's HOG of the patch around a site."""
    grey, half = bands.grey(), side_px // 2

    def at(row: int, col: int) -> np.ndarray:
        return hog(grey[row - half : row + half, col - half : col + half], cells_per_block=(2, 2))

    return at


def lbp_of_patch(bands: Bands) -> AtSite:
    """Patterns of the patch around a site, with the pixel around it that they need, and their shares."""
    image, half = grey_levels(bands), LBP.side_px // 2

    def at(row: int, col: int) -> np.ndarray:
        patch = image[row - half - 1 : row + half + 2, col - half - 1 : col + half + 2]
        patterns = local_binary_pattern(patch, LBP.points, LBP.radius, "uniform")[1:-1, 1:-1].astype(int)
        return np.bincount(patterns.ravel(), minlength=LBP.points + 2) / patterns.size

    return at


def lbp_shares_of_patch(bands: Bands) -> AtSite:
    """Only the shares, patch by patch: the patterns of the whole image are at hand already."""
    patterns, half = (
        local_binary_pattern(grey_levels(bands), LBP.points, LBP.radius, "uniform").astype(int),
        LBP.side_px // 2,
    )

    def at(row: int, col: int) -> np.ndarray:
        window = patterns[row - half : row + half + 1, col - half : col + half + 1]
        return np.bincount(window.ravel(), minlength=LBP.points + 2) / window.size

    return at


def glcm_of_patch(bands: Bands) -> AtSite:
    """Co-occurrence matrices of the patch around a site and their measures."""
    image, half = grey_levels(bands, GLCM.levels), GLCM.side_px // 2

    def at(row: int, col: int) -> np.ndarray:
        patch = image[row - half : row + half + 1, col - half : col + half + 1]
        matrix = graycomatrix(patch, [1], ANGLES, levels=GLCM.levels, symmetric=True, normed=True)
        share = matrix[matrix > 0]
        entropy = -(share * np.log(share)).sum() / len(ANGLES)
        return np.array([*(graycoprops(matrix, name).mean() for name in MEASURES[:-1]), entropy])

    return at


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Processor time of the fastest run."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def inner_sites(feature: Feature, bands: Bands, stride_px: int, sample: int) -> np.ndarray:
    """(sample, 2) numbers of rows and columns of sites, by chance, whose patches are inside the image."""
    margin = feature.halo_px + 1
    inside = []
    for length in bands.shape:
        positions = np.arange(stride_px // 2, length, stride_px)
        inside.append(np.flatnonzero((positions >= margin) & (positions < length - margin)))
    pairs = np.stack(np.meshgrid(*inside, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.random.default_rng(0).permutation(pairs)[:sample]


def compare(name: str, at_site: AtSite, bands: Bands, *, stride_px: int, sample: int, same: bool = True) -> str:
    """A line of the table: both times, their ratio, the largest difference of values where the definition is the same."""
    (feature,) = build_features([name])
    dense = feature.compute(bands, stride_px)
    ours = seconds(lambda: feature.compute(bands, stride_px), 3)
    chosen = inner_sites(feature, bands, stride_px, sample)
    positions = (chosen * stride_px + stride_px // 2).tolist()
    at_site(*positions[0])
    start = time.process_time()
    values = np.array([at_site(row, col) for row, col in positions])
    plain = (time.process_time() - start) / len(positions) * dense[0].size
    apart = f"{np.abs(dense[:, chosen[:, 0], chosen[:, 1]].T - values).max():.1e}" if same else "-"
    return f"{name:8} {len(dense):6} {dense[0].size:8} {ours:8.3f} {plain:8.1f} {plain / ours:6.0f}  {apart}"


def compare_gabor(bands: Bands, *, stride_px: int) -> str:
    """The same line against scikit-image's filter over the whole image: a loop over patches would be no match at all."""
    grey, first = bands.grey(), stride_px // 2
    dense = GABOR.compute(bands, stride_px)
    ours = seconds(lambda: GABOR.compute(bands, stride_px), 3)
    start, apart = time.process_time(), 0.0
    filters = [
        (wave, np.pi * one / GABOR.directions) for wave in GABOR.wavelengths_px for one in range(GABOR.directions)
    ]
    for values, (wavelength, angle) in zip(dense, filters, strict=True):
        expected = np.hypot(*gabor(grey, 1 / wavelength, angle))[first::stride_px, first::stride_px]
        apart = max(apart, float(np.abs(values - expected).max()))
    plain = time.process_time() - start
    return f"{'gabor':8} {len(dense):6} {dense[0].size:8} {ours:8.3f} {plain:8.1f} {plain / ours:6.0f}  {apart:.1e}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Time all textures, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=512, help="side of the image in px")
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--sample", type=int, default=500, help="sites at which the plain ways are timed")
    options = parser.parse_args(arguments)
    values = City(seed=0, size_px=options.side, gsd_m=0.25).image[:3].astype(np.float32)
    bands = Bands(values, ("image.red", "image.green", "image.blue"))
    plain = [
        ("dalal16", hog_of_patch(bands, 16), True),
        ("dalal32", hog_of_patch(bands, 32), True),
        # scikit-image has no HOG after Felzenszwalb: its other one is used, for the time only
        ("hog16", hog_of_patch(bands, 16), False),
        ("hog32", hog_of_patch(bands, 32), False),
        ("lbp", lbp_of_patch(bands), True),
        ("lbp", lbp_shares_of_patch(bands), True),
        ("glcm", glcm_of_patch(bands), True),
    ]
    print("feature  values    sites  dense s   loop s  ratio  largest difference")
    with threadpool_limits(1):
        for name, at_site, same in plain:
            print(compare(name, at_site, bands, stride_px=options.stride, sample=options.sample, same=same))
        print(compare_gabor(bands, stride_px=options.stride))


if __name__ == "__main__":
    main()
