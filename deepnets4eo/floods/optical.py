"""Water in optical images of 0.3 to 1 m pixels, and which of it is new: a large surface of one colour, with a network or without.

Open water, clear or muddy, keeps its chroma (the differences of its bands) over tens of metres. Roofs, tree crowns,
fields and roads are small, or mottled at the scale of metres.

Smooth surfaces are therefore found first, and grown into the neighbouring pixels that have the colour of the water.

Three kinds of surface are not flood: a surface that had a single colour before as well, a surface as green as a lawn, and a
surface as bright and bluish as smoke.

Smaller patches with the colour of sure water belong to the same flood if the ground had another colour before.

A small image shows new water where smooth ground has one colour now and had several before.

A network (`water_network`) confirms or refuses the surfaces, and adds dark, mottled and narrow water.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage, FloatImage, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.floods.ground_pattern import without_seen_ground
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, PERMANENT_WATER, parts_with
from deepnets4eo.rasters import excess_green, moving_moments


@dataclass(frozen=True)
class SurfaceRules:
    """Rules for when a surface of one colour is water, and which water is new; colours and deviations are of 255."""

    working_m: float = 1.0  # pixels are averaged to about this size
    coarsest_m: float = 2.0  # coarser pixels mix a house with the water around it
    chroma_window_px: int = 7
    max_chroma_sd: float = 1.2
    rough_window_px: int = 5
    max_seed_rough_sd: float = 6.0  # of brightness
    max_grown_rough_sd: float = 9.0  # of brightness, of what seeds grow into
    min_seed_width_px: int = chroma_window_px  # narrower strips, such as roads, are left out
    min_area_m2: float = 3000.0
    nearby_window_px: int = 61  # of the mean colour of the water nearby
    max_chroma_step: float = 4.0  # from that colour
    max_brightness_step: float = 14.0
    growing_rounds: int = 12
    min_grown_probability: float = 0.4  # of a network: water grows down to it
    min_seed_probability: float = 0.9  # of a network
    max_before_probability: float = 0.5  # of a network, of ground that was dry
    min_confirmed: float = 0.4  # mean probability of a surface, or how much it grew
    min_network_area_m2: float = 1000.0  # of new water by a network
    # excess green over brightness: lawns and fields 0.29 to 0.5, flood water at three places 0.05 to 0.15
    min_lawn_greenness: float = 0.27
    min_lawn_share: float = 0.5  # of a part
    # blue above red over brightness, of bright smoke and blue roofs: smoke over a burnt suburb 0.033 and 0.045, ice 0.01, floods at three places −0.15 to −0.02
    min_smoke_blueness: float = 0.02
    max_alike_distance2: float = 11.3  # squared, from the colour of sure water: χ² of 99 % in three dimensions
    max_colour_sd: tuple[float, ...] = (3.0, 3.0, 6.0)
    min_sure_area_m2: float = 10_000.0  # of one part of new water: a burnt field that was taken for water had 4,800
    # Of water known from before, medians of a part: the chroma varies by 0.8 to 1.9 in rivers and muddy ponds (Harvey 377, Midwest 00
    # and 06, Florence 318 and 520), by 2.6 to 3.5 on bare fields and woods that a network took for water (Adiyaman 6 and 2 NE, Florence
    # 318); excess green over brightness is 0.05 to 0.3 in the former, −0.035 to −0.002 on the fields of Adiyaman. No other place was looked at.
    max_known_chroma_sd: float = 2.5
    min_known_greenness: float = -0.01
    # of the image, from which a brighter flood gives a colour, too: muddy water around dark crowns
    min_wide_share: float = 0.3
    core_depth_px: int = 3  # how deep in sure water its colour is measured
    min_colour_change: float = 15.0  # since PRE
    min_patch_m2: float = 40.0  # of water between trees
    near_water_m: float = 40.0  # from new water, within which water may be under trees
    min_crown_greenness: float = 6.0  # twice green above red and blue
    min_dry_brightening: float = 12.0  # above the water, of ground that is visibly dry
    min_mottle_ratio: float = 1.8  # the chroma of the ground before a flood against that of the flood
    # of an image such as a patch around one building: no large surface fits in, and colours decide
    small_image_m2: float = 8_000.0
    max_colours_tried: int = 3  # of a small image
    min_colour_share: float = 0.08  # of a small image
    min_colour_spread_ratio: float = 4.0  # the spread of colours before against the spread of one colour now
    min_darker_share: float = 0.3  # share of darker pixels, so that shadows are no water
    rounding_ratio: float = 1.05  # deviations of whole squares and moving ones differ by at most this


COLOUR_STEPS = np.array([[SurfaceRules.max_chroma_step], [SurfaceRules.max_chroma_step], [10.0]])


class Surfaces(NamedTuple):
    """Large surfaces of one colour (h, w), what they grow into, and how much the chroma varies around each pixel."""

    seeds: Mask
    water: Mask
    mottle: FloatImage


def optical_water(
    pre: ByteImage | None,
    post: ByteImage,
    *,
    gsd_m: float,
    valid: Mask | None = None,
    before_water: FloatImage | Callable[[], FloatImage] | None = None,
    after_water: FloatImage | None = None,
    whole_m2: float | None = None,
) -> NDArray[np.uint8]:
    """Find water in POST, and which of it is new since PRE.

    Parameters
    ----------
    pre : (3, H, W) uint8, red, green and blue before, on the grid of POST; None if there is no image before
    post : (3, H, W) uint8, red, green and blue after
    gsd_m : side of a pixel, metres, at most 2
    valid : (H, W) bool, pixels seen in both images; None: all pixels
    before_water
        Probability (H, W) of water in PRE by a network, or a function that returns it, called only if POST shows water that may
        be new. It is needed with PRE and `after_water`.
    after_water : (H, W) float32, probability of water in POST by a network: it must confirm surfaces, and pixels it is sure of are water
    whole_m2 : m² of the scene if the images are a tile of it with its surroundings; None: m² of the images

    Returns
    -------
    (H, W) uint8
        0 dry, 1 permanent water, or another large surface of one colour at both dates, 2 flood, 255 not seen. Without PRE,
        all water is 1.

    Raises
    ------
    InputError
        The images are not a pair with three bands each, or their pixels are too large.

    Examples
    --------
    >>> post = np.random.default_rng(0).integers(0, 255, (3, 90, 90), dtype=np.uint8)
    >>> pre, post[:, :70] = post.copy(), np.array([105, 94, 65], np.uint8)[:, None, None]
    >>> classes = optical_water(pre, post, gsd_m=1.0)
    >>> classes[30, 40], classes[85, 40]
    (np.uint8(2), np.uint8(0))
    """
    _check(pre, post, gsd_m)
    if valid is not None:
        pre, post = None if pre is None else mirror_unseen(pre, valid), mirror_unseen(post, valid)
    factor = max(1, round(SurfaceRules.working_m / gsd_m))
    pixel_m2 = (factor * gsd_m) ** 2
    later = _averaged(post, factor)
    water = new = surfaces = np.zeros(later.shape[1:], bool)
    if may_show_surface(later, SurfaceRules.min_area_m2 / pixel_m2):
        water, new = _by_surfaces(
            None if pre is None else _averaged(pre, factor), later, SurfaceRules.min_area_m2 / pixel_m2
        )
    if after_water is not None:
        after = _averaged(after_water[None], factor)[0]

        def before() -> FloatImage:
            earlier = before_water() if callable(before_water) else np.asarray(before_water)
            return _averaged(earlier[None], factor)[0]

        seen_before = None if before_water is None else before
        surfaces = new
        water, new = _by_network(water, new, seen_before, after, SurfaceRules.min_network_area_m2 / pixel_m2)
    small = (post[0].size * gsd_m**2 if whole_m2 is None else whole_m2) < SurfaceRules.small_image_m2
    seen = np.ones_like(new) if valid is None else _averaged(valid[None].astype(np.float32), factor)[0] == 1
    if pre is not None and small:
        new = new | _one_colour_now(_averaged(pre, factor), later, seen)
        water = water | new
    elif (
        after_water is not None
        and before_water is not None
        and not _is_sure_anywhere(new, (after > SurfaceRules.min_seed_probability) | surfaces, pixel_m2)
    ):
        new = np.zeros_like(new)
    lawns = _lawns(new, later) if new.any() else new
    new = new & ~lawns
    if pre is not None and new.any():
        earlier = _averaged(pre, factor)
        new = _same_colour(new, earlier, later, pixel_m2)
        if not small:
            new = without_seen_ground(new, earlier, later, seen & ~crowns(later), pixel_m2)
    classes = np.where(new, FLOOD, np.where(water & ~lawns, PERMANENT_WATER, DRY))
    rows, cols = post.shape[1:]
    full = np.repeat(np.repeat(classes.astype(np.uint8), factor, 0), factor, 1)[:rows, :cols]
    return full if valid is None else np.where(valid, full, np.uint8(NOT_SEEN))


def mirror_unseen(image: NDArray[Any], seen: Mask) -> NDArray[Any]:
    """Return an image (C, h, w) whose unseen pixels mirror the ground across the nearest pixel of `seen` (h, w).

    The edge of a moved or cut image then looks like its adjacent ground, and no surface of one colour begins there.
    """
    if seen.all() or not seen.any():
        return image
    here = np.indices(seen.shape)
    nearest = scipy.ndimage.distance_transform_edt(~seen, return_distances=False, return_indices=True)
    last = np.array(seen.shape)[:, None, None] - 1
    row, col = across = np.clip(2 * nearest - here, 0, last)
    row, col = np.where(seen[row, col], across, nearest)
    return np.asarray(np.where(seen, image, image[:, row, col]))


def hidden_ground(wet: Mask, image: FloatImage, pixel_m: float) -> Mask:
    """Mark dry pixels near new water that do not show whether the ground is dry: tree crowns, and pixels no brighter than the water.

    wet : (h, w) new water; image : (3, h, w) red, green and blue of POST, of 255; pixel_m : side of a pixel.
    """
    if not wet.any():
        return wet
    brightness = image.mean(axis=0)
    near = _nearby(wet.astype(np.float32), round(SurfaceRules.near_water_m / pixel_m) + 1) > 1e-6
    dark = brightness < np.median(brightness[wet]) + SurfaceRules.min_dry_brightening
    return np.asarray(scipy.ndimage.binary_opening((crowns(image) | dark) & ~wet & near, np.ones((3, 3))), bool)


def crowns(image: FloatImage) -> Mask:
    """Mark rough, green pixels of an image (3, h, w): trees."""
    red, green, blue = image
    return np.asarray(
        (_deviation(image.mean(axis=0), SurfaceRules.rough_window_px) > SurfaceRules.max_seed_rough_sd)
        & (excess_green(red, green, blue) > SurfaceRules.min_crown_greenness)
    )


def may_show_surface(image: ByteImage | FloatImage, least_px: float) -> bool:
    """Return whether an image (3, h, w) in pixels of about 1 m may show a surface of one colour of `least_px` pixels or more.

    This is a much faster test, which misses no surface: it looks at a grid of adjacent squares. Each square of a surface
    contains the middle of one of them.
    """
    red, green, blue = (_squares_side_by_side(band) for band in image)
    inner = np.s_[:, 1:-1, :, 1:-1]
    rough = ((red[inner] + green[inner] + blue[inner]) / 3).std(axis=(1, 3))
    mottle = np.maximum((red - green).std(axis=(1, 3)), (blue - green).std(axis=(1, 3)))
    alike = (mottle < SurfaceRules.rounding_ratio * SurfaceRules.max_chroma_sd) & (
        rough < SurfaceRules.rounding_ratio * SurfaceRules.max_seed_rough_sd
    )
    sizes = np.bincount(scipy.ndimage.label(alike, np.ones((3, 3)))[0].ravel())[1:]
    return bool(
        (SurfaceRules.rounding_ratio * (2 * SurfaceRules.chroma_window_px - 1) ** 2 * sizes >= least_px).any()
    )  # of pixels in squares around a middle


def _squares_side_by_side(band: NDArray[Any]) -> FloatImage:
    """(rows, side, cols, side) float32; the last ones mirror the edge, as moving windows do."""
    padded = np.pad(band, [(0, -side % SurfaceRules.chroma_window_px) for side in band.shape], mode="symmetric").astype(
        np.float32
    )
    squares: FloatImage = padded.reshape(
        padded.shape[0] // SurfaceRules.chroma_window_px,
        SurfaceRules.chroma_window_px,
        -1,
        SurfaceRules.chroma_window_px,
    )
    return squares


def _check(pre: ByteImage | None, post: ByteImage, gsd_m: float) -> None:
    for name, image in (("pre", pre), ("post", post)):
        if image is not None and (image.ndim != 3 or image.shape != (3, *post.shape[1:])):
            raise InputError(f"the {name} image has shape {image.shape}; expected (3, H, W), the same for both dates.")
    if not 0 < gsd_m <= SurfaceRules.coarsest_m:
        raise InputError(
            f"pixels of {gsd_m:g} m are given; water is found by its surface in pixels of at most {SurfaceRules.coarsest_m:g} m. "
            "Give a finer image, or find water by its spectrum, e.g. by the index of green and short-wave infrared."
        )


def _by_surfaces(pre: FloatImage | None, post: FloatImage, least_px: float) -> tuple[Mask, Mask]:
    """Water in POST, and what of it is new, by large surfaces of one colour."""
    after = _surfaces(post, least_px)
    if pre is None or not after.seeds.any():
        return after.water, np.zeros_like(after.water)
    before = _surfaces(pre, least_px)
    new = scipy.ndimage.binary_opening(after.water & ~before.water, np.ones((3, 3)))
    new = parts_with(new, _large(after.seeds & ~before.water, least_px))
    return after.water, _mottled_before(new, before.mottle, after.mottle)


def _by_network(
    surfaces: Mask, new_surfaces: Mask, before: Callable[[], FloatImage] | None, after: FloatImage, least_px: float
) -> tuple[Mask, Mask]:
    """Return new water by the probabilities of both dates: grown from sure to likely water, and surfaces that are confirmed."""
    sure = after > SurfaceRules.min_seed_probability
    water = parts_with(after > SurfaceRules.min_grown_probability, sure)
    large = parts_with(water, water, least_px)
    if before is None:
        return large | _confirmed(surfaces, after), new_surfaces
    if not (large.any() or new_surfaces.any()):
        return water, new_surfaces
    earlier = before()
    new = scipy.ndimage.binary_opening(water & (earlier < SurfaceRules.max_before_probability), np.ones((3, 3)))
    new = parts_with(new, new & sure)
    new = parts_with(new, new, least_px) | _confirmed(new_surfaces, after - earlier)
    return water | new, new


def _is_sure_anywhere(new: Mask, sure: Mask, pixel_m2: float) -> bool:
    """Return whether a part of new water has enough sure water; without it, smoke, shadow and dark fields are rejected."""
    return bool(
        (np.bincount(scipy.ndimage.label(new)[0][new & sure]) * pixel_m2 >= SurfaceRules.min_network_area_m2).any()
    )


def _lawns(mask: Mask, image: FloatImage) -> Mask:
    """Return the parts of a mask that are mostly as green as grass, or, like smoke, brighter and bluer than water.

    Lawns and smoke are smooth and of one colour, like water. Tree crowns may stand in a flood.
    """
    red, green, blue = (scipy.ndimage.uniform_filter(band, SurfaceRules.chroma_window_px) for band in image)
    total = red + green + blue
    grassy = excess_green(red, green, blue) > SurfaceRules.min_lawn_greenness * total
    smoky = (
        (blue - red > SurfaceRules.min_smoke_blueness * total) & (total > np.median(total[~mask]))
        if not mask.all()
        else np.zeros_like(mask)
    )
    parts, count = scipy.ndimage.label(mask)
    shares = np.asarray(scipy.ndimage.mean(grassy | smoky, parts, np.arange(1, count + 1)))
    return np.asarray(np.concatenate([[False], shares > SurfaceRules.min_lawn_share])[parts], bool)


def without_bare_ground(water: Mask, image: FloatImage) -> Mask:
    """Return the parts of water (h, w) that are of one colour in an image (3, h, w), and not as brown as bare soil."""
    parts, count = scipy.ndimage.label(water)
    if not count:
        return water
    red, green, blue = image
    mottle = np.maximum(*(_deviation(band, SurfaceRules.chroma_window_px) for band in (red - green, blue - green)))
    greenness = excess_green(red, green, blue) / np.maximum(image.sum(axis=0), 1)
    # the edge is mottled by the shore
    core = scipy.ndimage.binary_erosion(water, iterations=SurfaceRules.core_depth_px)
    numbers = np.arange(1, count + 1)
    inner = np.where(np.isin(parts, np.unique(parts[core])) & ~core, 0, parts)
    medians = [np.asarray(scipy.ndimage.median(values, inner, numbers)) for values in (mottle, greenness)]
    kept = (medians[0] <= SurfaceRules.max_known_chroma_sd) & (medians[1] >= SurfaceRules.min_known_greenness)
    return np.asarray(np.concatenate([[False], kept])[parts])


def _same_colour(new: Mask, before: FloatImage, after: FloatImage, pixel_m2: float) -> Mask:
    """Add to new water the patches that have its colour now and had another colour before, in the same light of both dates."""
    earlier, later = (_colours(image, 5) for image in (before, after))
    core = scipy.ndimage.binary_erosion(
        parts_with(new, new, SurfaceRules.min_sure_area_m2 / pixel_m2), iterations=SurfaceRules.core_depth_px
    )
    if new.all() or not core.any():
        return new
    brighter = np.median(later[2][core]) > np.median(later[2][~new]) + SurfaceRules.min_dry_brightening
    if brighter and new.mean() < SurfaceRules.min_wide_share:  # as bare soil is, and roofs
        return new
    earlier += np.median((later - earlier)[:, ~new], axis=1)[:, None, None]
    far, was_far = (_from_colour(later[:, core], image) for image in (later, earlier))
    like = (
        (far < SurfaceRules.max_alike_distance2)
        & (was_far > 2 * SurfaceRules.max_alike_distance2)
        & (np.abs(later - earlier).sum(axis=0) > SurfaceRules.min_colour_change)
    )
    like = scipy.ndimage.binary_opening(like, np.ones((3, 3)))
    return parts_with(like, like, SurfaceRules.min_patch_m2 / pixel_m2) | new


def _from_colour(colours: FloatImage, image: FloatImage) -> FloatImage:
    """Squared distance (h, w) of each pixel of an image from the middle of some colours (3, n), in their bounded deviations."""
    middle = np.median(colours, axis=1)[:, None, None]
    spread = np.clip(_spread(colours), (1.0, 1.0, 2.0), SurfaceRules.max_colour_sd)[:, None, None]
    return np.asarray((((image - middle) / spread) ** 2).sum(axis=0), np.float32)


def _one_colour_now(before: FloatImage, after: FloatImage, seen: Mask) -> Mask:
    """Smooth ground that has one colour now and had several before, such as lawns and a road under brown water.

    The light of both dates may differ. The commonest colours of POST are tried.
    """
    earlier, later = (_colours(image, 3) for image in (before, after))
    left = seen & (_deviation(later[2], SurfaceRules.rough_window_px) < SurfaceRules.max_seed_rough_sd)
    new = np.zeros_like(left)
    for _ in range(SurfaceRules.max_colours_tried):
        if left.mean() < SurfaceRules.min_colour_share:
            break
        steps = np.floor(later[:, left] / COLOUR_STEPS).astype(int)
        steps -= steps.min(axis=1, keepdims=True)
        counts = np.zeros(steps.max(axis=1) + 1)
        np.add.at(counts, tuple(steps), 1)
        commonest = np.unravel_index(scipy.ndimage.uniform_filter(counts, 3, mode="constant").argmax(), counts.shape)
        near = (np.abs(steps - np.array(commonest)[:, None]) <= 1).all(axis=0)
        colour = np.median(later[:, left][:, near], axis=1)[:, None, None]
        alike = left & (np.abs(later - colour) < COLOUR_STEPS[..., None]).all(axis=0)
        left &= ~alike
        alike = scipy.ndimage.binary_opening(alike, np.ones((3, 3)))
        if (
            alike.mean() > SurfaceRules.min_colour_share
            and (later[2] < colour[2]).mean() > SurfaceRules.min_darker_share
        ):
            was, now = (_spread(image[:, alike]).sum() for image in (earlier, later))
            new |= alike & (was > SurfaceRules.min_colour_spread_ratio * max(now, 1.0))
    return new


def _colours(image: FloatImage, side_px: int) -> FloatImage:
    """Return (3, h, w) chroma and brightness, medians of small squares."""
    bands = (image[0] - image[1], image[2] - image[1], image.mean(axis=0))
    return np.stack([scipy.ndimage.median_filter(band, side_px) for band in bands])


def _spread(values: FloatImage) -> FloatImage:
    """Deviation of each row (rows, n), by medians."""
    middle = np.median(values, axis=1, keepdims=True)
    return np.asarray(1.4826 * np.median(np.abs(values - middle), axis=1), np.float32)


def _confirmed(mask: Mask, values: FloatImage) -> Mask:
    """Return the parts of a mask whose mean value is large enough."""
    parts, count = scipy.ndimage.label(mask)
    means = np.asarray(scipy.ndimage.mean(values, parts, np.arange(1, count + 1)))
    kept: Mask = np.concatenate([[False], means > SurfaceRules.min_confirmed])[parts]
    return kept


def _averaged(image: ByteImage | FloatImage, factor: int) -> FloatImage:
    """Return (3, h, w) float32 means of squares of `factor` pixels; the last ones repeat the edge."""
    if factor == 1:
        return image.astype(np.float32)
    bands, rows, cols = image.shape
    padded = np.pad(image, ((0, 0), (0, -rows % factor), (0, -cols % factor)), mode="edge").astype(np.float32)
    height, width = padded.shape[1] // factor, padded.shape[2] // factor
    means: FloatImage = padded.reshape(bands, height, factor, width, factor).mean((2, 4))
    return means


def _surfaces(image: FloatImage, least_px: float) -> Surfaces:
    """Large surfaces of one colour in an image (3, h, w), and what is connected with them and alike."""
    red, green, blue = image
    features = np.stack([red - green, blue - green, image.mean(0)])
    with ThreadPoolExecutor(2) as pool:
        *chroma, rough = pool.map(
            _deviation,
            features,
            (SurfaceRules.chroma_window_px, SurfaceRules.chroma_window_px, SurfaceRules.rough_window_px),
        )
    mottle = np.maximum(*chroma)
    seeds = _large((mottle < SurfaceRules.max_chroma_sd) & (rough < SurfaceRules.max_seed_rough_sd), least_px)
    return Surfaces(seeds, _grown(features, rough < SurfaceRules.max_grown_rough_sd, seeds), mottle)


def _deviation(values: FloatImage, side_px: int) -> FloatImage:
    """Return the standard deviation in a moving window."""
    return moving_moments(values - values.mean(), side_px)[1]


def _mottled_before(mask: Mask, before: FloatImage, after: FloatImage) -> Mask:
    """Return the parts of a mask whose ground had several colours before; a pond hidden only by the noise of PRE had not."""
    parts, count = scipy.ndimage.label(mask)
    numbers = np.arange(1, count + 1)
    medians = [np.asarray(scipy.ndimage.median(values, parts, numbers)) for values in (before, after)]
    kept: Mask = np.concatenate([[False], medians[0] > SurfaceRules.min_mottle_ratio * medians[1]])[parts]
    return kept


def _large(mask: Mask, least_px: float) -> Mask:
    """Parts of a mask that are wide, and large enough."""
    square = np.ones((SurfaceRules.min_seed_width_px, SurfaceRules.min_seed_width_px))
    middles = scipy.ndimage.binary_erosion(mask, square)
    if not middles.any():  # as in most tiles
        return middles
    wide = scipy.ndimage.binary_dilation(middles, square)
    return parts_with(wide, wide, least_px)


def _grown(features: FloatImage, smooth: Mask, seeds: Mask) -> Mask:
    """Grow seeds by all smooth ground that is connected with them and has the colour of the water nearby."""
    if not seeds.any():
        return seeds
    near_colour = [scipy.ndimage.uniform_filter(band, 3) for band in features]
    water, count = seeds, np.intp(-1)
    for _ in range(SurfaceRules.growing_rounds):
        if count == np.count_nonzero(water):
            break
        count = np.count_nonzero(water)
        share = _nearby(water.astype(np.float32))
        alike = smooth & (share > 1e-4)
        for band, tolerance, colour in zip(
            features,
            (SurfaceRules.max_chroma_step, SurfaceRules.max_chroma_step, SurfaceRules.max_brightness_step),
            near_colour,
            strict=True,
        ):
            mean = _nearby(np.where(water, band, 0)) / np.maximum(share, 1e-6)
            alike &= np.abs(colour - mean) < tolerance
        water = scipy.ndimage.binary_opening(parts_with(alike | water, water), np.ones((3, 3))) | water
    return water


def _nearby(values: FloatImage, side_px: int = SurfaceRules.nearby_window_px) -> FloatImage:
    """Mean around each pixel, the nearer the more."""
    nearby: FloatImage = scipy.ndimage.uniform_filter(scipy.ndimage.uniform_filter(values, side_px), side_px)
    return nearby
