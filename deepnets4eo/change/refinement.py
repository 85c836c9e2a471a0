"""Score maps fitted to the edges of images by guided anisotropic diffusion, tile by tile, on the CPU or a GPU.

Each tile is diffused with as much context as flows into it, so that tiles do not show; an interrupted job can continue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage, FloatImage, Mask
from deepnets4eo.change.diffusion import Diffusion, check_arrays, guided_anisotropic_diffusion
from deepnets4eo.change.options import RefineOptions
from deepnets4eo.device import choose
from deepnets4eo.errors import InputError
from deepnets4eo.files import check_overwrite
from deepnets4eo.grid import Window
from deepnets4eo.jobs import JobRecord, RowJournal, output_lock
from deepnets4eo.outputs import check_not_inputs
from deepnets4eo.rasters import CogWriter, Layer, check_raster_suffix, gdal_cache, valid_pixels
from deepnets4eo.read_as import IMAGE, SCORES, Door, check_any_valid
from deepnets4eo.tiling import Packed, spread_windows

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

KEPT_TAGS = (Packed.tag, "MEANING", "SYNTHETIC", "RUN")
TILE_PX = 1024
GREY_PERCENT = (1, 99)  # of each band become 0 and 255
PROBE_PX, PROBES = 256, 4
PRODUCT = "scores"  # in the journal of finished tiles
ROUNDING = 1e-3  # probabilities summed in single precision may lie this far beyond 0 or 1


@dataclass(frozen=True)
class Refinement:
    """Outcome of a refinement.
    path : the new raster. before, after : pixels above 0.5. unseen : pixels with scores that not all images show."""

    threshold: ClassVar[float] = 0.5  # of a final map
    min_left: ClassVar[float] = 0.5  # share of the area above the threshold
    path: Path
    before: int
    after: int
    unseen: int = 0

    @property
    def shrinks(self) -> bool:
        """Return whether less than half of the area above 0.5 is left: objects leak away because the edge level is too large for them."""
        return self.after < Refinement.min_left * self.before


def refine_scores(
    scores: Layer,
    images: Sequence[Layer],
    out: str | Path,
    *,
    diffusion: Diffusion | None = None,
    device: str = "auto",
    tile_px: int = TILE_PX,
    workers: int = 2,
    resume: bool = False,
    tags: Mapping[str, str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Refinement:
    """Fit a map of scores to the edges that all images show.

    Parameters
    ----------
    scores : one band: fractions, or bytes with the tag PACKED_ONE as `deepnets4eo predict` writes them
    images : one or several, warped to the grid of the scores; all with the same number of bands
    out : the raster to write: packed if the scores are packed, else float32 with NaN at invalid pixels
    diffusion : steps, edge level and rate; by default as published
    device : "auto" computes on a GPU if there is one
    tile_px : side of a tile
    workers : threads on the CPU
    resume : continue an interrupted job, whose finished tiles are next to `out`
    tags : further tags of the raster
    progress : called with the share done

    Returns
    -------
    Refinement
        With a warning in the log if less than half of the area above 0.5 is left, or if an image does not show all scores.

    Raises
    ------
    InputError
        A name of another format than GeoTIFF, scores of several bands, labels or values outside 0–1 as scores, or images
        with different numbers of bands.
    RunError
        The interrupted job had other files or settings.

    Peak memory: some 20 values of 4 bytes per band and pixel of a tile with its context.
    """
    diffusion = diffusion or Diffusion()
    check_raster_suffix(out)
    check_score_layer(scores)
    guides = [image.on(scores.grid) for image in images]
    if len({guide.count for guide in guides}) != 1:
        raise InputError(
            f"the images have {[guide.count for guide in guides]} bands; expected one image, or several of equally many. "
            "Choose others."
        )
    ranges = [grey_range(guide) for guide in guides]
    packed = Packed.tag in scores.tags and scores.dtype == np.uint8
    tiles = list(scores.blocks(tile_px))
    spread = _diffuser(diffusion, device, workers, len(tiles))
    finished = RowJournal(Path(out))
    job = {"record": _record(scores, images, diffusion, tile_px, device).with_content().to_dict()}
    if resume and finished.load():
        finished.check(job)
        log.info("Going on with an interrupted job: %d of %d tiles are done.", len(finished.entries), len(tiles))
    else:
        if not packed:
            _check_range(scores, tiles)
        finished.start(job)
    before, after, unseen = (finished.counts.get(name, 0) for name in ("before", "after", "unseen"))
    with gdal_cache():
        for number, tile in enumerate(tiles[len(finished.entries) :], start=len(finished.entries)):
            around = tile.grow(diffusion.reach_px)
            part, valid = _read_scores(scores, around, packed=packed)
            inner = tile.within(around).slices
            before += int((part[inner] >= Refinement.threshold).sum())
            refined, usable = _refine_tile(part, valid, guides, ranges, around, spread)
            after += int((refined[inner][valid[inner]] >= Refinement.threshold).sum())
            unseen += int((valid & ~usable)[inner].sum())
            rows = _stored(refined[inner], valid[inner], packed=packed)[None]
            finished.record(number, tile, {PRODUCT: rows}, {"before": before, "after": after, "unseen": unseen})
            if progress is not None:
                progress((number + 1) / len(tiles))
        with _writer(scores, Path(out), tags or {}, packed=packed) as writer:
            for tile, rows in finished.replay(PRODUCT):
                writer.write(tile, rows)
    finished.remove()
    result = Refinement(Path(out), before, after, unseen)
    _warn(result)
    return result


def refine_raster(
    scores: str | Path, images: Sequence[str], out: Path, options: RefineOptions, *, device: str, workers: int,
    resume: bool, overwrite: bool, progress: Callable[[float], None],
) -> Refinement:  # fmt: skip
    """Fit one band of a raster to the edges of images, as `refine_scores` does, with the checks and the lock of a verb."""
    diffusion = Diffusion(options.steps, options.edge_level, options.rate)
    check_not_inputs([out], [scores, *images])
    layer = SCORES.check(Layer.open(scores), Door("the scores")).report()
    if options.band > layer.count:
        raise InputError(f"--set band={options.band} is not in {scores}, which has {layer.count}. Bands count from 1.")
    guides = [IMAGE.open(image, Door("the image", collars="data")) for image in images]
    with output_lock(out):
        finished = RowJournal(out)
        band = SCORES.look(layer.subset([layer.bands[options.band - 1]]), Door("the scores")).report()
        check_any_valid(band, "the raster of scores")
        record = _record(band, guides, diffusion, TILE_PX, device)
        interrupted = finished.is_begun
        if resume and not overwrite and not interrupted and out.is_file():
            record.check_complete({out: JobRecord.of_raster(out)})
        check_overwrite(out, overwrite=overwrite, resume=resume if interrupted else None)
        finished.check_kept(overwrite=overwrite, resume=resume)
        with finished.kept_on_failure(resume=resume):
            return refine_scores(
                band, guides, out, diffusion=diffusion, device=device, workers=workers, resume=resume, tags=record.tags,
                progress=progress,
            )  # fmt: skip


def _warn(result: Refinement) -> None:
    """Log what of a refinement is not as expected."""
    if result.unseen:
        log.warning(
            "%d pixels with scores stay as they were, since not all images show them. Give images of the whole ground of "
            "the scores to refine these, too.", result.unseen,
        )  # fmt: skip
    if result.shrinks:
        log.warning(
            "The area above %g shrank from %d to %d pixels: objects leak away. Take fewer steps or a smaller edge level.",
            Refinement.threshold, result.before, result.after,
        )  # fmt: skip


def _record(scores: Layer, images: Sequence[Layer], diffusion: Diffusion, tile_px: int, device: str) -> JobRecord:
    """Return what a refinement follows from."""
    on = device if device == "cpu" else choose(device, "float32").device
    return JobRecord.of({"scores": scores, "images": list(images)}, diffusion, tile_px=tile_px, device=on)


def check_score_layer(scores: Layer) -> None:
    """Refuse what is no map of scores. Errors: InputError."""
    if scores.count != 1:
        raise InputError(
            f"{scores.source} has {scores.count} bands; expected one band of scores. Extract one, e.g. with gdal_translate -b 2."
        )
    if "LEGEND" in scores.tags:
        raise InputError(
            f"{scores.source} holds labels, by its tag LEGEND; expected scores of 0–1, such as `deepnets4eo predict "
            "--probabilities` writes. Give those."
        )


def _check_range(scores: Layer, tiles: Sequence[Window]) -> None:
    """Refuse values that are no fractions, before any tile is diffused. Errors: InputError naming their range."""
    low, high = np.inf, -np.inf
    for tile in tiles:
        data, valid = scores.read(tile)
        values = data[0][valid]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise InputError(
            f"{scores.source} holds values from {low:g} to {high:g}; expected scores of 0–1, or bytes with the tag "
            f"{Packed.tag}. Divide scores of other units by what stands for 1, e.g. by 255 (gdal_calc.py --type Float32 "
            '--calc "A/255.0"), or give a raster of scores.'
        )


def grey_range(image: Layer) -> NDArray[np.float32]:
    """Return (2, C) values that become grey levels 0 and 255, from spread windows; one image has one range, whatever the tiles."""
    pixels = []
    for window in spread_windows(image.shape, (PROBE_PX, PROBE_PX), PROBES):
        data, valid = image.read(window)
        pixels.append(valid_pixels(data, valid).astype(np.float32))
    values = np.concatenate(pixels, axis=1)
    if not values.size:
        raise InputError(f"{image.source} has no valid pixel on the ground of the scores. Give an image that shows it.")
    low, high = np.percentile(values, GREY_PERCENT, axis=1)
    return np.stack([low, np.maximum(high, low + 1e-6)]).astype(np.float32)


def to_grey(image: NDArray[np.generic], limits: NDArray[np.float32]) -> FloatImage:
    """Scale to grey levels 0–255. image : (C, h, w), limits : (2, C)"""
    low, high = limits[:, :, None, None]
    return np.clip((np.asarray(image, np.float32) - low) * (np.float32(255) / (high - low)), 0, 255)


Diffuser = Callable[[FloatImage, Sequence[FloatImage], Mask], FloatImage]


def _diffuser(diffusion: Diffusion, device: str, workers: int, tiles: int) -> Diffuser:
    """Return the function that diffuses a tile: on a GPU if there is one, else with NumPy."""
    chosen = device if device == "cpu" else choose(device, "float32").device
    if chosen == "cpu":
        return lambda scores, guides, valid: guided_anisotropic_diffusion(
            scores, guides, diffusion=diffusion, valid=valid, workers=workers, tiles=tiles
        )

    return lambda scores, guides, valid: diffuse_on_device(
        scores, guides, diffusion=diffusion, valid=valid, device=chosen
    )


def _refine_tile(
    scores: FloatImage,
    valid: Mask,
    guides: Sequence[Layer],
    ranges: Sequence[NDArray[np.float32]],
    window: Window,
    spread: Diffuser,
) -> tuple[FloatImage, Mask]:
    """Return scores (h, w) after diffusion, and the mask of diffused pixels. Scores of one value everywhere stay unchanged."""
    if not valid.any() or float(np.ptp(scores[valid])) == 0:
        return scores, valid
    images = []
    usable = valid.copy()
    for guide, limits in zip(guides, ranges, strict=True):
        data, seen = guide.read(window)
        usable &= seen
        images.append(np.where(seen, to_grey(data, limits), 0))
    return spread(np.where(valid, scores, 0)[None], images, usable)[0], usable


def _read_scores(scores: Layer, window: Window, *, packed: bool) -> tuple[FloatImage, Mask]:
    data, valid = scores.read(window)
    values = data[0].astype(np.float32)
    return np.where(valid, values / Packed.one if packed else values, 0).astype(np.float32), valid


def _stored(scores: FloatImage, valid: Mask, *, packed: bool) -> FloatImage | ByteImage:
    if packed:
        return np.where(valid, Packed.pack(scores), np.uint8(Packed.nodata))
    return np.where(valid, scores, np.float32(np.nan))


def _writer(scores: Layer, out: Path, tags: Mapping[str, str], *, packed: bool) -> CogWriter:
    kept = {name: value for name, value in scores.tags.items() if name in KEPT_TAGS} | dict(tags)
    if packed:
        return CogWriter(out, scores.grid, nodata=Packed.nodata, band_names=scores.band_names, tags=kept)
    return CogWriter(out, scores.grid, dtype="float32", nodata=np.nan, band_names=scores.band_names, tags=kept)


def diffuse_on_device(
    scores: FloatImage,
    guides: Sequence[NDArray[Any]],
    *,
    diffusion: Diffusion | None = None,
    valid: NDArray[np.bool_] | None = None,
    device: str = "cuda",
) -> FloatImage:
    """Run `guided_anisotropic_diffusion` on a device such as "cuda"; the result differs only by rounding.

    Raises the same errors."""
    import torch

    diffusion = diffusion or Diffusion()
    check_arrays(scores, guides, valid)
    state = torch.from_numpy(np.asarray(scores, np.float32).copy()).to(device)
    images = torch.from_numpy(np.stack([np.asarray(guide, np.float32) for guide in guides])).to(device)
    between: list[torch.Tensor | float] = [1.0, 1.0]
    if valid is not None:
        inside = torch.from_numpy(np.ascontiguousarray(valid)).to(device)
        state, images = (torch.where(inside, values, torch.zeros_like(values)) for values in (state, images))
        between = [(inside[1:] & inside[:-1]).float(), (inside[:, 1:] & inside[:, :-1]).float()]
    with torch.inference_mode():
        for rate in diffusion.rates:
            flows = [_flows(state, images, axis, between[axis], rate, diffusion.edge_level) for axis in (0, 1)]
            for axis, (of_state, of_images) in enumerate(flows):
                _move(state, of_state, axis)
                _move(images, of_images, axis)
    result: FloatImage = state.cpu().numpy()
    return result if valid is None else np.where(valid, result, np.asarray(scores, np.float32))


def _flows(
    state: torch.Tensor, images: torch.Tensor, axis: int, between: torch.Tensor | float, rate: float, edge_level: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what each pixel receives from the next pixel along the axis: of scores (C, …), of guides (G, B, …)."""
    differences = images.diff(dim=2 + axis)
    shares = rate / (1 + (differences.abs().mean(dim=1) / edge_level) ** 2) * between
    return state.diff(dim=1 + axis) * shares.amin(dim=0), differences * shares[:, None]


def _move(values: torch.Tensor, flow: torch.Tensor, axis: int) -> None:
    length = values.shape[axis - 2]
    values.narrow(axis - 2, 0, length - 1).add_(flow)
    values.narrow(axis - 2, 1, length - 1).sub_(flow)
