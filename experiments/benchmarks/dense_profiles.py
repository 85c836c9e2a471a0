"""How fast profiles are made: one tree for all thresholds against scikit-image, patch by patch and image by image.

On the grey values of a miniature city, in one run and one thread: (1) the plain way, a patch around each site and
scikit-image's functions on it; (2) scikit-image on the whole image, one threshold at a time; (3) ours at the sites. All by
the plain definitions (no limit on long parts); values are compared. Prints seconds of processor time and ratios.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.morphology import area_closing, area_opening, disk, erosion, reconstruction

from deepnets4eo.baselines.features.profiles import AttributeProfile, opened_by_disks
from deepnets4eo.synthetic import City

Levels = NDArray[Any]
FOUR = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
RADIUS_PX = 64
RADII_PX, AREAS_PX = (2, 4, 8, 16), (25, 100, 400, 1600)


def attributes(image: Levels) -> Levels:
    """Area openings and closings by scikit-image, (8, h, w)."""
    opened = [area_opening(image, area) for area in AREAS_PX]
    return np.stack([*opened, *(area_closing(image, area) for area in AREAS_PX)])


def reconstructions(image: Levels) -> Levels:
    """Openings and closings by reconstruction by scikit-image, (8, h, w)."""
    profiles = []
    for flip in (False, True):
        one = 255 - image if flip else image
        for radius in RADII_PX:
            opened = reconstruction(erosion(one, disk(radius), mode="ignore"), one, footprint=FOUR).astype(np.uint8)
            profiles.append(255 - opened if flip else opened)
    return np.stack(profiles)


def our_attributes(image: Levels, stride_px: int) -> Levels:
    """The same at sites by one tree each."""
    feature = AttributeProfile(areas_px=AREAS_PX, deviations=(), largest_px=max(image.shape) + 1)
    levels = image.astype(np.int64)
    return np.concatenate([feature.opened(levels, stride_px), 255 - feature.opened(255 - levels, stride_px)])


def our_reconstructions(image: Levels, stride_px: int) -> Levels:
    """The same at sites by one tree each."""
    levels = image.astype(np.int64)
    bright, dark = (
        opened_by_disks(one, RADII_PX, largest_px=None, stride_px=stride_px)[1:] for one in (levels, 255 - levels)
    )
    return np.concatenate([bright, 255 - dark])


def time_repeats(work: Callable[..., Levels], *arguments: Any) -> tuple[Levels, float]:
    """Result and seconds of processor time."""
    start = time.process_time()
    result = work(*arguments)
    return result, time.process_time() - start


def by_patches(image: Levels, function: Callable[[Levels], Levels], sites: Sequence[tuple[int, int]]) -> Levels:
    """A patch around each site, the function on it, its value in the middle, (8, sites)."""
    values = []
    for row, col in sites:
        top, left = max(row - RADIUS_PX, 0), max(col - RADIUS_PX, 0)
        patch = image[top : row + RADIUS_PX + 1, left : col + RADIUS_PX + 1]
        values.append(function(np.ascontiguousarray(patch))[:, row - top, col - left])
    return np.stack(values, axis=1)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=512, help="side of the image in px")
    parser.add_argument("--stride", type=int, default=16, help="a site in every so many pixels")
    parser.add_argument("--sites", type=int, default=40, help="sites whose patches are timed; the others cost the same")
    options = parser.parse_args()
    image = City(3, options.side).image[:3].mean(axis=0).astype(np.uint8)
    rows_and_cols = range(options.stride // 2, options.side, options.stride)
    every = [(row, col) for row in rows_and_cols for col in rows_and_cols]
    chosen = np.random.default_rng(0).choice(len(every), min(options.sites, len(every)), replace=False)
    for title, plain, ours in (
        ("attribute profile (areas)", attributes, our_attributes),
        ("differential profile (disks)", reconstructions, our_reconstructions),
    ):
        ours(image[:99, :99], options.stride)  # libraries are loaded
        sampled, patch_s = time_repeats(by_patches, image, plain, [every[k] for k in chosen])
        loop_s = patch_s / len(chosen) * len(every)
        whole, whole_s = time_repeats(plain, image)
        at_sites, ours_s = time_repeats(ours, image, options.stride)
        dense, dense_s = time_repeats(ours, image, 1)
        if not np.array_equal(dense, whole):
            raise SystemExit(f"{title}: ours and scikit-image's whole image disagree")
        agreeing = (sampled == at_sites.reshape(len(at_sites), -1)[:, chosen]).mean()
        print(
            f"{title}: {len(every)} sites of {options.side}²: patches {loop_s:.1f} s ({len(chosen)} timed), "
            f"whole image {whole_s:.2f} s, ours {ours_s:.2f} s (all pixels {dense_s:.2f} s)"
        )
        print(
            f"  ratio to patches {loop_s / ours_s:.0f}, to the whole image {whole_s / ours_s:.1f}; equal to the whole "
            f"image on all pixels; {agreeing:.1%} of the values of patches equal (a patch cuts large parts)"
        )


if __name__ == "__main__":
    main()
