"""Two images as one scene: common bands, registered, clouds masked, the pre image seen on the grid of the post image.

Takes paths or layers; returns a scene with the layers `image_pre` and `image_post`.

Refuses bands that do not correspond, images that do not overlap or cannot be registered, one image given twice, and
pairs without a common valid pixel.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.change.areas import legend_of_cover
from deepnets4eo.change.classical.detector import DateLayers
from deepnets4eo.change.doubts import ROLES, doubtful_ground
from deepnets4eo.change.options import ChangeOptions
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import Grid, only_one_placed
from deepnets4eo.ground_area import GroundArea
from deepnets4eo.inspection import CloudClassification, cloud_finding
from deepnets4eo.outputs import Finding, one_or_many
from deepnets4eo.outputs.map_page import picture_px
from deepnets4eo.rasters import (
    Layer,
    LayerLike,
    LayerView,
    PictureSource,
    Scene,
    in_colour_order_of,
    widen_cache,
    without_implausible,
)
from deepnets4eo.read_as import LABELS, Door, open_cloud_mask, without_collar
from deepnets4eo.registration import UNMOVED, ImagePair, MotionMatrix, RegisteredPair, Registration, on_post_grid
from deepnets4eo.segmenters import Run

COARSE_CLOUD_SHARE = 0.5  # share of a pixel of a preview under clouds from which it is not visible

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChangePair:
    """A pair that is ready for change detection.

    scene : layers `image_pre` and `image_post` on the grid of the post image
    registration : how the images were registered
    findings : what limits a map of the pair
    covers : land cover of both dates, where the options name it
    doubt : ground under clouds, and ground in the shadow of clouds at one date, 1 each; None if there is no such ground
    run : network that labels the pair; None for a method without training
    """

    scene: Scene
    registration: Registration
    findings: tuple[Finding, ...]
    covers: tuple[Layer, Layer] | None = None
    doubt: Layer | None = None
    run: Run | None = None

    @property
    def images(self) -> dict[str, Layer]:
        """Role → image."""
        return {"pre": self.scene.layers[DateLayers.pre], "post": self.scene.layers[DateLayers.post]}

    @property
    def dated(self) -> tuple[Layer, Layer]:
        """Both images, whose tags state dates and sensors."""
        return self.images["pre"], self.images["post"]

    def __str__(self) -> str:
        return f"registration {self.registration.status}"


def open_pair(pre: LayerLike, post: LayerLike, options: ChangeOptions = ChangeOptions()) -> ChangePair:
    """Open, check and register a pair; nothing is resampled yet, and the post image never is.

    Raises InputError for bands that do not correspond, one image given twice, a failed registration, and masks or
    land cover that do not fit.

    Raises GridError for images that do not overlap, or if one of them has no CRS.
    """
    pair = ImagePair.open(pre, post, gsd_m=options.gsd_m)
    before, after = pair.images
    widen_cache(before, after)  # registration, scores, refinement and page read each pixel some ten times
    check_one_space([before, after])
    pair = (
        ImagePair(*choose_bands(before, after, options), pair.findings)
        .check_two_images()
        .declare_nodata("pre")
        .declare_nodata("post")
    )
    clouds = _open_masks(dict(zip((DateLayers.pre, DateLayers.post), pair.images, strict=True)), options)
    classified = _classify_clouds({DateLayers.pre: before, DateLayers.post: after}, masked=clouds.keys())
    own_clouds, cloud_findings = _own_clouds({DateLayers.pre: before, DateLayers.post: after}, classified)
    clouds |= own_clouds
    covers = _open_covers(pair.post, options)
    registered = _register(pair, options)
    registration, grid = registered.registration, registered.post.grid
    images = {DateLayers.pre: registered.pre_on_post, DateLayers.post: registered.post}
    layers = {name: without_implausible(without_collar(image)) for name, image in images.items()}
    motions = {DateLayers.pre: registration.matrix, DateLayers.post: UNMOVED}
    if options.model is None:  # networks take longer than the page, which decodes its images then
        layers = {name: Layer(PictureSource(image, picture_px(image))) for name, image in layers.items()}
    for name, mask in clouds.items():
        layers[name] = hide_clouds(layers[name], mask, grid, motions[name])
        images[name] = hide_clouds(images[name], mask, grid, motions[name])
    scene = Scene(layers, grid)
    check_common_pixels(scene)
    unmasked = {name: classified[name] for name in classified.keys() - clouds.keys()}
    doubt, bright_clouds = doubtful_ground(images, unmasked)
    findings = (*pair.findings, *_registration_findings(registration, options), *cloud_findings, *bright_clouds)
    return ChangePair(scene, registration, findings, covers, doubt)


def _classify_clouds(images: Mapping[str, Layer], masked: Collection[str]) -> dict[str, CloudClassification]:
    """Return what the images, with all their bands, state of their clouds; masked dates and embeddings are left out."""
    return {
        name: CloudClassification.of(image)
        for name, image in images.items()
        if name not in masked and image.embedding is None
    }


def _own_clouds(
    images: Mapping[str, Layer], classified: Mapping[str, CloudClassification]
) -> tuple[dict[str, Layer], list[Finding]]:
    """Return the masks of clouds from a band of the image or a network, and what they hide."""
    masks, findings = {}, []
    for name, clouds in classified.items():
        if clouds.mask is None:
            continue
        finding = cloud_finding(clouds.mask, images[name], ROLES[name], "mask_clouds_of_change")
        if finding is not None:
            masks[name] = clouds.mask
            findings.append(finding)
    return masks, findings


def check_one_space(layers: Sequence[Layer]) -> None:
    """Refuse embeddings together with images, or embeddings of two cards: their values cannot be compared. Raises InputError."""
    cards = {None if layer.embedding is None else layer.embedding.name: layer.source for layer in layers}
    if len(cards) > 1:
        named = " and ".join(f"{source} ({card or 'no embeddings'})" for card, source in cards.items())
        raise InputError(f"{named} hold different things. Compare embeddings only with embeddings of the same card.")


def choose_bands(pre: Layer, post: Layer, options: ChangeOptions) -> tuple[Layer, Layer]:
    """Return both layers with corresponding bands.

    The options choose the bands; by default they are the bands of equal names or colours, else all bands if both layers have
    the same number. Raises InputError."""
    chosen = [
        layer if text is None else layer.subset(_numbers(text, flag))
        for layer, text, flag in (
            (pre, options.pre_bands, "--set pre_bands"),
            (post, options.post_bands, "--set post_bands"),
        )
    ]
    before, after = chosen
    if options.pre_bands is None and options.post_bands is None:
        before, after = _same_bands(before, after)
    if before.count != after.count:
        raise InputError(
            f"{pre.source} has {before.count} bands ({', '.join(before.band_names[:8])}), {post.source} {after.count} "
            f"({', '.join(after.band_names[:8])}); expected the same bands in both. Choose them with --set pre_bands=… and "
            "--set post_bands=…."
        )
    return before, after


def check_common_pixels(scene: Scene) -> None:
    """Refuse a pair without a pixel that both dates show. Reads until the first one. Errors: InputError."""
    valid_anywhere = dict.fromkeys((DateLayers.pre, DateLayers.post), False)
    for window in scene.blocks():
        valid = {name: scene.layers[name].read(window)[1] for name in valid_anywhere}
        if (valid[DateLayers.pre] & valid[DateLayers.post]).any():
            return
        valid_anywhere = {name: has_valid or bool(valid[name].any()) for name, has_valid in valid_anywhere.items()}
    empty = [scene.layers[name].source for name, has_valid in valid_anywhere.items() if not has_valid]
    raise InputError(
        f"{' and '.join(empty)} {one_or_many(len(empty), 'shows', 'show')} no valid pixel of the common ground: all is nodata or "
        "masked. Give images that show it."
        if empty
        else "no pixel is valid in both images. Check nodata, masks of clouds and the common extent."
    )


def _open_masks(images: Mapping[str, Layer], options: ChangeOptions) -> dict[str, Layer]:
    """Open the given cloud masks on the grids of their images; before the registration, which takes longer."""
    masks = {
        DateLayers.pre: (options.cloud_mask_pre, "--cloud-mask-pre"),
        DateLayers.post: (options.cloud_mask_post, "--cloud-mask-post"),
    }
    return {
        name: open_cloud_mask(source, images[name], flag).on(images[name].grid, "nearest")
        for name, (source, flag) in masks.items()
        if source is not None
    }


def _open_covers(post: Layer, options: ChangeOptions) -> tuple[Layer, Layer] | None:
    """Open the land cover of both dates, if given, on its own grids; before the registration, which takes longer."""
    if options.cover_pre is None or options.cover_post is None:
        return None
    return (
        _open_cover(options.cover_pre, post, "--set cover_pre", options.gsd_m),
        _open_cover(options.cover_post, post, "--set cover_post", options.gsd_m),
    )


def _open_cover(source: str, post: Layer, flag: str, gsd_m: float | None) -> Layer:
    opened = Layer.open(source, labels=True).with_gsd(gsd_m)
    cover = LABELS.assess(opened, Door(flag)).report()
    cover.warn_of_legend(legend_of_cover(cover))
    if only_one_placed(cover.grid, post.grid):
        raise GridError(
            f"{flag} {cover.source}: only one of it and {post.source} is georeferenced. Georeference the other, or give "
            "land cover that does."
        )
    cover.covered_share(post.grid, flag)
    return cover


def _numbers(text: str, flag: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise InputError(f"{flag} {text} are not numbers of bands. Write them like 1,2,3.") from error


def _same_bands(pre: Layer, post: Layer) -> tuple[Layer, Layer]:
    """Return both layers with the bands that both have, by their names, else by their colours; unchanged if neither is known."""
    common = [key for key in post.band_keys if key in pre.band_keys]
    if not common:
        return in_colour_order_of(pre, post), post
    left_out = sorted({*pre.band_keys, *post.band_keys} - {*common})
    if left_out:
        log.info("Bands that only one image has are left out: %s.", ", ".join(left_out))
    return _bands_of(pre, common), _bands_of(post, common)


def _bands_of(layer: Layer, wanted: Sequence[str]) -> Layer:
    return layer.subset([layer.bands[layer.band_keys.index(key)] for key in wanted])


def _register(pair: ImagePair, options: ChangeOptions) -> RegisteredPair:
    """Return the pair with the position of the pre image. Raises InputError if the position cannot be measured."""
    if options.assume_registered or pair.post.embedding is not None:
        return (
            pair.assume_registered()
        )  # embeddings lie on the grid of their satellite, and mean nothing between pixels
    registered = pair.register(options).log_registration()
    if not registered.registration.usable:
        raise InputError(
            f"{registered.pre.source} could not be registered to {registered.post.source}: {registered.registration.reason}. "
            "Check that both show one site, raise --set max_shift_m=…, or pass --assume-registered if the images lie on each "
            "other already."
        )
    return registered


def _registration_findings(registration: Registration, options: ChangeOptions) -> tuple[Finding, ...]:
    if options.assume_registered:
        return (Finding("registration_assumed", "caution", wording="pair_assumed"),)
    if registration.status in ("ok", "assumed"):
        return ()
    return (Finding("registration_degraded", "caution", {"reason": registration.why}, wording="pair_degraded"),)


@dataclass(frozen=True)
class CloudedArea:
    """Hectares of the grid of the post image that clouds hide by layer name, under a cloud at one date at least
    (`either_ha`), and valid at both dates except for clouds (`visible_ha`)."""

    by_layer: dict[str, float]
    either_ha: float
    visible_ha: float

    @property
    def share(self) -> float:
        """Return the clouded share of what both images would show without clouds; NaN if that area is empty."""
        return self.either_ha / self.visible_ha if self.visible_ha else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {"by_layer_ha": self.by_layer, "either_ha": self.either_ha, "share": self.share}


def hide_clouds(image: Layer, mask: Layer, grid: Grid, motion: MotionMatrix = UNMOVED) -> Layer:
    """Return an image that is not valid under the clouds of its mask.

    Parameters
    ----------
    image : on the grid of the post image
    mask : 0 where the image is clear; on any grid
    grid : the grid of the post image
    motion : (2, 3), how the mask moves, as in `Registration`; by default not at all

    Returns
    -------
    Layer
        The image, valid where its mask is 0.
    """
    return Layer(CloudMaskedSource(image, on_post_grid(mask, grid, motion, resampling="nearest")))


def clouded_area(scene: Scene, names: Sequence[str]) -> CloudedArea | None:
    """Count what clouds hide of the layers of a scene; None if no layer has a mask. Memory: one window."""
    layers = {name: scene.layers[name].reader for name in names}
    if not any(isinstance(source, CloudMaskedSource) for source in layers.values()):
        return None
    covered, either, visible = dict.fromkeys(names, 0.0), 0.0, 0.0
    ground = GroundArea(scene.grid)
    for window in scene.blocks():
        valid, hidden = np.ones((window.height, window.width), bool), np.zeros((window.height, window.width), bool)
        for name, source in layers.items():
            if isinstance(source, CloudMaskedSource):
                image_valid, clouds = source.read_parts(window)
                covered[name] += ground.of(window, image_valid & clouds)
                hidden |= clouds
            else:
                image_valid = scene.layers[name].read(window)[1]
            valid &= image_valid
        either += ground.of(window, valid & hidden)
        visible += ground.of(window, valid)
    return CloudedArea(covered, either, visible)


class CloudMaskedSource(LayerView):
    """A layer that is not valid under clouds; it is read by window, and not warped any more."""

    def __init__(self, layer: Layer, mask: Layer) -> None:
        numbers = layer.as_stored()
        super().__init__(numbers, numbers.dtype, layer.nodata)
        self.mask, self.declared = mask, self.declared.with_bands(stored=layer.scaling)

    def read(self, window: Any, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self.choose(bands).read(window)
        return data, valid & ~self._clouds(window)

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self.choose(bands).read_coarse(shape)
        values, inside = self.mask.read_coarse(shape)
        return data, valid & inside & (values[0] < COARSE_CLOUD_SHARE)

    def read_parts(self, window: Any) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return two masks: where the image itself is valid, and where clouds hide it, (h, w) each."""
        return self.layer.read(window)[1], self._clouds(window)

    def _clouds(self, window: Any) -> NDArray[np.bool_]:
        values, inside = self.mask.read(window)
        clouds: NDArray[np.bool_] = (values[0] != 0) | ~inside
        return clouds
