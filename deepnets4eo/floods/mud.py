"""Muddy water in fine red, green and blue: one smooth, brown colour that lies over road, lawn, trees and yards alike.

Smooth ground of POST is grouped by its colour. A group is new water if the ground had many covers and texture before, and if its
colour has moved against the ground that is still textured. How much each of these counts is fitted on synthetic floods of mud
(`experiments/muddy_groups.py`). Dark groups are shadow, green groups are lawns, white groups are roofs, roads and cloud.

The detector never states that ground is dry. It does not find mud over ground that was brown or dark before, or under trees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Floats, Mask
from deepnets4eo.files import read_yaml
from deepnets4eo.floods.common_colours import common_colours
from deepnets4eo.floods.mapper import WaterMapper
from deepnets4eo.floods.optical import crowns
from deepnets4eo.floods.permanent import first_by_appearance, read_pair
from deepnets4eo.floods.recognition import Recognition, RecognitionRules, measure_recognition
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, PERMANENT_WATER, parts_with
from deepnets4eo.grid import Window
from deepnets4eo.rasters import CogWriter, Layer, LayerView, Scene, moving_moments
from deepnets4eo.tiling import Packed, spread_windows

FEATURES = ("covers", "rough", "moved", "connected")
CARD = "mud.yaml"
MIN_SEEN = 0.5  # share of a window that both dates show


@dataclass(frozen=True)
class MudRules:
    """Rules for groups of smooth ground; colours are CIELAB, lightness 0–100."""

    groups: int = 14  # colours of either date
    sampled_px: int = 20_000  # from which the colours are measured
    texture_px: int = 7  # window of the deviation of lightness
    max_texture: float = 4.0  # of smooth ground
    smooth_share: float = 0.35  # of the image, at most
    rough_ratio: float = 2.0  # texture before over texture now
    min_moved: float = 12.0  # colour difference
    min_moved_share: float = (
        0.2  # of a group: smooth streets and yards of Mexico 05 and 10 reach 0.14, muddy water 0.34 or more
    )
    min_group_share: float = 0.003  # of the image
    # Brown water at six places; darker is shadow, greener a lawn, redder soil and roofs, paler or bluer concrete, cloud and smoke.
    lightness: tuple[float, float] = (35.0, 78.0)
    green_red: tuple[float, float] = (-12.0, 4.0)
    blue_yellow: tuple[float, float] = (8.0, 28.0)
    connected_m2: float = 1000.0  # of parts that count as connected
    patch_m2: float = 100.0  # of patches with the colour of sure water
    max_patch_texture: float = 6.0  # of patches, which include the edges of water
    max_step: float = 5.0  # from that colour, with the lightness weighed less
    light_weight: float = 0.5
    crowns_m: float = 15.0  # from muddy water, within which crowns may hide more of it
    sure: float = 0.8  # probability of a group that is water
    max_known: float = 20.0  # by which the colour of known water may raise the odds
    min_known_m2: float = 500.0  # of smooth water known from before
    possible: float = 0.1  # probability from which it is not known whether a group is water
    suspected: float = 0.5  # probability of a group from which muddy water is suspected
    min_share: float = 0.03  # of the image, of sure groups together: less is a roof, a field or a yard
    halo_px: int = 16


@dataclass(frozen=True)
class MudGroup:
    """One colour of smooth ground in POST.

    colour : lightness, green–red, blue–yellow
    share : of the image
    features : 0–1 each, as `FEATURES`: how many covers were there before (entropy over the entropy of the image), shares of the ground that had
        more texture before, and another colour, and share in large connected parts
    known : how much commoner the colour is on water known from before than in the image, at least 1
    """

    colour: tuple[float, float, float]
    share: float
    features: tuple[float, ...]
    known: float = 1.0
    probability: float = 0.0

    @property
    def may_be_mud(self) -> bool:
        """Return whether the colour may be one of muddy water, and is new."""
        limits = (MudRules.lightness, MudRules.green_red, MudRules.blue_yellow)
        is_brown = all(low <= value <= high for value, (low, high) in zip(self.colour, limits, strict=True))
        is_new = self.features[FEATURES.index("moved")] >= MudRules.min_moved_share
        return is_brown and is_new and self.share >= MudRules.min_group_share


@dataclass(frozen=True)
class MuddyGround:
    """The colours of smooth ground in POST, from which pixels get the probability that they are muddy water."""

    groups: tuple[MudGroup, ...]
    max_texture: float

    @property
    def is_found(self) -> bool:
        """Return whether enough of the image is surely muddy water."""
        return self._share(MudRules.sure) >= MudRules.min_share

    @property
    def is_suspected(self) -> bool:
        """Return whether enough of the image is more probably muddy water than not, but not surely."""
        return not self.is_found and self._share(MudRules.suspected) >= MudRules.min_share

    @property
    def may_be_suspected(self) -> bool:
        """Return whether muddy water could be suspected if known water had its colour."""
        chances = np.array([group.probability for group in self.groups])
        odds = MudRules.max_known * chances
        raised = odds / (odds + 1 - chances) >= MudRules.suspected
        return (
            float(np.array([group.share for group in self.groups]) @ raised) >= MudRules.min_share
            if len(raised)
            else False
        )

    def _share(self, least: float) -> float:
        return sum(group.share for group in self.groups if group.probability >= least)

    def probability(self, after: FloatImage, pixel_m: float) -> Floats:
        """Return the probability (h, w) of muddy water in POST (3, h, w): of the group of each smooth pixel, in connected parts."""
        numbers = group_numbers(after, [group.colour for group in self.groups], self.max_texture)
        chance = np.array([*(group.probability for group in self.groups), 0.0])[numbers]
        least_px = MudRules.connected_m2 / pixel_m**2
        out = np.zeros(chance.shape)
        for limit in (MudRules.possible, MudRules.sure):
            wet = _connected(chance >= limit, least_px)
            out = np.where(wet, np.maximum(out, np.where(chance >= limit, chance, limit)), out)
        return np.where(self._patches(after, pixel_m), np.maximum(out, MudRules.sure), out) if self.is_found else out

    def _patches(self, after: FloatImage, pixel_m: float) -> Mask:
        """Return the patches (h, w) of the colour of sure water, which may be smaller and less smooth, as between houses and trees."""
        lab = _smoothed_lab(after)
        like = np.zeros(lab.shape[1:], bool)
        for group in self.groups:
            if group.probability >= MudRules.sure:
                step = (lab - np.array(group.colour)[:, None, None]) * np.array([MudRules.light_weight, 1, 1])[
                    :, None, None
                ]
                like |= np.linalg.norm(step, axis=0) < MudRules.max_step
        return _connected(like & (_texture(lab[0]) < MudRules.max_patch_texture), MudRules.patch_m2 / pixel_m**2)


def mud_groups(
    before: FloatImage, after: FloatImage, pixel_m: float, water: Mask | None = None
) -> tuple[list[MudGroup], float]:
    """Return the colours of smooth ground in POST with their features, and the texture of smooth ground.

    before, after : (3, h, w) red, green and blue, 0–255, on one grid; pixel_m : side of a pixel; water : (h, w) known from before"""
    earlier, later = _smoothed_lab(before), _smoothed_lab(after)
    was, now = _texture(earlier[0]), _texture(later[0])
    limit = min(float(np.quantile(now, MudRules.smooth_share)), MudRules.max_texture)
    smooth, textured = now < limit, now > np.median(now)
    if not smooth.any() or not textured.any():
        return [], limit
    earlier_now = _in_light_of(earlier, later, textured)
    rng = np.random.default_rng(0)
    covers = _colours(earlier.reshape(3, -1).T, rng)
    colours = _colours(later[:, smooth].T, rng)
    cover = _nearest(earlier.reshape(3, -1), covers).reshape(smooth.shape)
    group = _numbers(later, smooth, colours)
    every = _entropy(np.bincount(cover.ravel(), minlength=len(covers)))
    roughened = was > MudRules.rough_ratio * np.maximum(now, 0.5)
    moved = np.linalg.norm(later - earlier_now, axis=0) > MudRules.min_moved
    least_px = MudRules.connected_m2 / pixel_m**2
    on_water = smooth & water if water is not None else np.zeros_like(smooth)
    has_water = on_water.sum() * pixel_m**2 >= MudRules.min_known_m2
    groups = []
    for number, colour in enumerate(colours):
        own = group == number
        if own.mean() < MudRules.min_group_share:
            groups.append(MudGroup(tuple(colour.tolist()), float(own.mean()), (0.0,) * len(FEATURES)))
            continue
        alike = (group >= 0) & (np.linalg.norm(colours - colour, axis=1) < MudRules.min_moved)[group]
        many = _entropy(np.bincount(cover[own], minlength=len(covers))) / max(every, 1e-6)
        connected = (_connected(alike, least_px) & own).sum() / own.sum()
        features = (min(many, 1.0), roughened[own].mean(), moved[own].mean(), connected)
        lift = alike[on_water].mean() / alike[smooth].mean() if has_water else 1.0
        known = float(np.clip(lift, 1, MudRules.max_known))
        groups.append(MudGroup(tuple(colour.tolist()), float(own.mean()), tuple(map(float, features)), known))
    return groups, limit


def group_numbers(
    after: FloatImage, colours: Sequence[tuple[float, float, float]], max_texture: float
) -> NDArray[np.intp]:
    """Return the number of the colour of each smooth pixel of POST (3, h, w), −1 for ground with texture."""
    lab = _smoothed_lab(after)
    smooth = _texture(lab[0]) < max_texture
    return _numbers(lab, smooth, np.array(colours))


def _numbers(lab: FloatImage, smooth: Mask, colours: Floats) -> NDArray[np.intp]:
    """Return the number of the nearest colour (K, 3) of each smooth pixel (h, w) of CIELAB (3, h, w), −1 for other pixels."""
    numbers = np.full(smooth.shape, -1, np.intp)
    numbers[smooth] = _nearest(lab[:, smooth], colours)
    return numbers


def fitted_card() -> tuple[Floats, float]:
    """Return the weights of `FEATURES` and the constant, fitted on synthetic floods of mud."""
    with resources.as_file(resources.files("deepnets4eo.floods") / CARD) as path:
        card = read_yaml(path)
    return np.array([card["weights"][name] for name in FEATURES], float), float(card["constant"])


def muddy_ground(before: FloatImage, after: FloatImage, pixel_m: float, water: Mask | None = None) -> MuddyGround:
    """Return the groups of POST with their probability of being muddy water; only brown groups may be.

    water : (h, w) known from before, whose colour in POST raises the odds of its group by as much as it is commoner there."""
    groups, limit = mud_groups(before, after, pixel_m, water)
    weights, constant = fitted_card()
    rated = []
    for group in groups:
        odds = float(np.array(group.features) @ weights + constant + np.log(group.known))
        chance = float(scipy.special.expit(odds)) if group.may_be_mud else 0.0
        rated.append(replace(group, probability=chance))
    return MuddyGround(tuple(rated), limit)


def with_mud(
    labels: Layer, path: Path, scene: Scene, mapper: WaterMapper, recognition: Recognition
) -> tuple[Layer, Recognition]:
    """Search for muddy water if water is not recognised otherwise.

    Parameters
    ----------
    labels : map of water
    path : of the map with muddy water, which is written if there is any
    scene : the layers that the mapper reads
    mapper : of the dates of the scene
    recognition : how well water is recognised in the map

    Returns
    -------
    (Layer, Recognition)
        The map, with muddy water if it was found, and how well water is recognised in it.
    """
    if recognition.small or not (recognition.is_none_found or recognition.is_lost):
        return labels, recognition
    ground = measure_mud(scene, mapper, labels)
    if ground is None or not ground.is_found:
        suspected: Literal["", "suspected"] = "suspected" if ground is not None and ground.is_suspected else ""
        return labels, replace(recognition, muddy=suspected)
    muddy = write_with_mud(labels, path, scene, mapper, ground)
    return muddy, replace(measure_recognition(scene, mapper, muddy), muddy="found")


def measure_mud(scene: Scene, mapper: WaterMapper, labels: Layer) -> MuddyGround | None:
    """Return the muddy ground of a scene, from windows of a large one; None if not both dates are fine red, green and blue."""
    first = first_by_appearance(mapper)
    if first is None:
        return None
    whole = max(labels.shape) <= RecognitionRules.max_whole_px
    side = max(labels.shape) if whole else RecognitionRules.window_px
    windows = spread_windows(labels.shape, (side, side), 1 if whole else RecognitionRules.windows)
    pairs = {window: read_pair(scene, first, window) for window in windows}
    pairs = {
        window: pair
        for window, pair in pairs.items()
        if pair[2].mean() > MIN_SEEN and min(pair[2].shape) > MudRules.texture_px
    }
    if not pairs:
        return None
    rows, pixel_m = min(pair[2].shape[0] for pair in pairs.values()), mapper.pixel_m2**0.5
    before, after = (np.concatenate([pair[k][:, :rows] for pair in pairs.values()], axis=2) for k in (0, 1))
    ground = muddy_ground(before, after, pixel_m)
    if not ground.may_be_suspected:
        return ground
    # the network looks at the dates before only if what it may find there can change the result
    known = [mapper.known_water(scene.read(window))[1] for window in pairs]
    return muddy_ground(before, after, pixel_m, np.concatenate([water[:rows] for water in known], axis=1))


def write_with_mud(labels: Layer, path: Path, scene: Scene, mapper: WaterMapper, mud: MuddyGround) -> Layer:
    """Write a map of water with muddy water as flood, and without data where ground may be muddy water; return it.

    Only dry ground becomes flood. Crowns next to it have no data, since they may hide water. Water known from before that has the colour of the flood is permanent.
    """
    first = first_by_appearance(mapper)
    assert first is not None
    with CogWriter(path, labels.grid, nodata=NOT_SEEN) as writer:
        for window in writer.windows:
            wide = window.grow(max(MudRules.halo_px, mapper.tiling.halo_px))
            classes, valid = labels.read(wide)
            _, after, seen = read_pair(scene, first, wide)
            chance = mud.probability(after, mapper.pixel_m2**0.5)
            known, _ = mapper.known_water(scene.read(wide))
            free, sure = valid & seen & (classes[0] == DRY), chance >= MudRules.sure
            wet = np.where(free & sure, np.where(known, PERMANENT_WATER, FLOOD), classes[0])
            hidden = crowns(after) & _near((wet == FLOOD) & valid, MudRules.crowns_m / mapper.pixel_m2**0.5)
            wet = np.where(free & ~sure & (hidden | (chance >= MudRules.possible)), NOT_SEEN, wet)
            writer.write(window, np.where(valid, wet, NOT_SEEN)[window.within(wide).slices].astype(np.uint8))
    return Layer.open(path)


class WithMud(LayerView):
    """Probabilities of the classes of a map. The probability of dry ground, the first class, is limited at muddy water.

    mapped, muddy : the map before and after muddy water was found"""

    def __init__(self, probabilities: Layer, mapped: Layer, muddy: Layer) -> None:
        super().__init__(probabilities, probabilities.dtype, probabilities.nodata)
        self.mapped, self.muddy = mapped, muddy

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], Mask]:
        shares, valid = self.choose(bands).read(window)
        is_mud = (self.mapped.read(window)[0][0] == DRY) & (self.muddy.read(window)[0][0] == FLOOD)
        limited = np.minimum(shares, round((1 - MudRules.sure) * Packed.one))
        is_dry_band = (np.array(bands) == 1)[:, None, None]
        return np.where(is_mud & is_dry_band, limited, shares).astype(shares.dtype), valid


def _smoothed_lab(image: FloatImage) -> FloatImage:
    """Return (3, h, w) CIELAB of a slightly smoothed image (3, h, w) of 0–255."""
    from skimage.color import rgb2lab

    lab = np.moveaxis(rgb2lab(np.moveaxis(np.clip(image, 0, 255) / 255.0, 0, -1)), -1, 0)
    return np.asarray(scipy.ndimage.gaussian_filter(lab, (0, 1, 1)), np.float32)


def _texture(lightness: FloatImage) -> FloatImage:
    return np.asarray(moving_moments(lightness - lightness.mean(), MudRules.texture_px)[1])


def _in_light_of(earlier: FloatImage, later: FloatImage, textured: Mask) -> FloatImage:
    """Return the colours of PRE with the medians and spreads of POST where POST is textured: seasons and sensors differ."""
    chosen = [image[:, textured] for image in (earlier, later)]
    middles = [np.median(values, axis=1)[:, None, None] for values in chosen]
    spreads = [
        np.median(np.abs(values - middle[:, 0]), axis=1)[:, None, None]
        for values, middle in zip(chosen, middles, strict=True)
    ]
    return np.asarray((earlier - middles[0]) / np.maximum(spreads[0], 1e-3) * spreads[1] + middles[1])


def _colours(values: NDArray[np.floating], rng: np.random.Generator) -> Floats:
    """Return the middles (K, 3) of the commonest colours among values (N, 3)."""
    chosen = values[rng.permutation(len(values))[: MudRules.sampled_px]].astype(float)
    number = min(MudRules.groups, len(np.unique(chosen, axis=0)))
    return common_colours(chosen, number)


def _nearest(values: NDArray[np.floating], centres: Floats) -> NDArray[np.intp]:
    """Return the number (N,) of the nearest centre (K, C) of each value (C, N), one by one: a tree of so few takes three times as long."""
    return np.asarray(scipy.cluster.vq.vq(values.T.astype(np.float64), centres)[0], np.intp)


def _near(mask: Mask, reach_px: float) -> Mask:
    """Return the pixels (h, w) within a distance of a mask."""
    return np.asarray(scipy.ndimage.distance_transform_edt(~mask) <= reach_px) if mask.any() else mask


def _entropy(counts: NDArray[np.integer]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _grown(mask: Mask, *, beyond: bool = False) -> Mask:
    """Return a mask (h, w) with the eight neighbours of its pixels. beyond : whether pixels beyond the edge are in the mask"""
    wide = np.pad(mask, 1, constant_values=beyond)
    rows = wide[:-2] | wide[1:-1] | wide[2:]
    return np.asarray(rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:])


def _connected(mask: Mask, least_px: float) -> Mask:
    """Return the parts of a mask (h, w) that are large, with their small gaps."""
    closed = ~_grown(~_grown(np.pad(mask, 2)))[2:-2, 2:-2]
    opened = _grown(~_grown(~(closed | mask), beyond=True))
    return parts_with(opened, opened, math.ceil(least_px))
