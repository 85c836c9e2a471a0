"""Plan for cutting and computing a scene: tiles, device, precision and batches, by the options or an interrupted job."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from deepnets4eo.device import OPENVINO_INT8, TORCH, Compute, choose
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.withheld import PredictedMap
from deepnets4eo.prediction.memory import batch_size
from deepnets4eo.prediction.options import PredictOptions
from deepnets4eo.rasters import Scene, gdal_cache
from deepnets4eo.segmenters import NetworkSegmenter, Segmenter, window_scalers
from deepnets4eo.segmenters.any_size import scaled_beforehand
from deepnets4eo.tiling import SMALLEST_SIDE_PX, UNIFORM, Lattice, Tiling


@contextmanager
def computing(segmenter: Segmenter, compute: Compute) -> Iterator[None]:
    """Within it the segmenter computes so, of windows that `TileReader.of` has read."""
    segmenter.to(compute)
    if not compute.by_int8:
        for member in _without_members(segmenter):
            getattr(member, "module", None)  # PyTorch is loaded before its settings
    with gdal_cache(), compute.torch_settings(), scaled_beforehand(window_scalers(segmenter)):
        yield


class Plan(NamedTuple):
    """Plan for cutting and computing a scene."""

    lattice: Lattice
    compute: Compute
    batch_tiles: int


def make_plan(segmenter: Segmenter, scene: Scene, options: PredictOptions, begun: Mapping[str, Any]) -> Plan:
    """Plan by the options, and as the interrupted or finished job `begun` was computed if they leave it open."""
    threads = options.threads or begun.get("threads") or (None if options.executor is None else 1)
    without_networks = _only_float32(segmenter)
    exact = options.precision == "auto" and (without_networks or segmenter.legend.quantity is not None)
    runtime = begun.get("runtime", "auto") if options.runtime == "auto" else options.runtime
    compute = choose(
        options.device, PredictedMap.scored_in if exact else _precision(options, begun), threads, runtime=runtime
    )
    if without_networks:
        compute = replace(compute, precision=PredictedMap.scored_in)
    int8 = getattr(segmenter, "int8", None)
    if runtime == "auto" and options.precision == "auto" and not exact and not begun and compute.device == "cpu":
        compute = compute.by(TORCH if int8 is None else int8.fastest_runtime(math.prod(scene.shape)))
    elif compute.by_int8 and int8 is None:  # the job has several networks, and this one no such weights
        compute = compute.by(TORCH)
    elif compute.by_openvino and int8 is not None and options.precision == "auto" and not exact:
        compute = compute.by(OPENVINO_INT8)
    lattice = Lattice(scene.shape, _tiling(segmenter, options, scene.shape))
    _check_runtime(compute, segmenter)
    together = options.batch_tiles or begun.get("batch_tiles")
    return Plan(lattice, compute, together or batch_size(segmenter, compute, lattice.tiling.tile_px))


def _precision(options: PredictOptions, begun: Mapping[str, Any]) -> str:
    """Return the precision of the options, or of the job that was begun on a CPU if they leave it open."""
    is_measured = options.precision == "auto" and begun.get("device") == "cpu"
    return str(begun["precision"]) if is_measured else options.precision


def _check_runtime(compute: Compute, segmenter: Segmenter) -> None:
    """Raise InputError if the runtime cannot compute the segmenter."""
    if not compute.by_torch and not compute.by_int8 and not getattr(segmenter, "compiles", False):
        raise InputError(
            f"--runtime {compute.runtime} is for networks that label whole tiles; the run is of the kind {segmenter.kind!r}, whose passes "
            "or patches PyTorch computes. Leave it out."
        )


def _only_float32(segmenter: Any) -> bool:
    """Return whether a segmenter computes only in float32, whichever precision is chosen, as it contains no network."""
    return all(getattr(member, "only_float32", False) for member in _without_members(segmenter))


def _without_members(segmenter: Any) -> Iterator[Any]:
    """Yield the segmenters that compute: the members of an ensemble and theirs, or the segmenter itself."""
    members = getattr(segmenter, "members", ())
    for member in members:
        yield from _without_members(member)
    if not members:
        yield segmenter


def _tiling(segmenter: Segmenter, options: PredictOptions, shape: tuple[int, int]) -> Tiling:
    """Return the tiling of the scene: by the options' side of tiles, else by the side with the fewest computed pixels."""
    tiling = options.tiling(segmenter.tiling)
    return tiling if options.tile_px is not None else tiling.least_work(shape, _other_sides(segmenter, tiling))


def _other_sides(segmenter: Segmenter, tiling: Tiling) -> Sequence[int]:
    """Sides of tiles that do as well as the run's: half the core for any size, small tiles stay; for networks up to a quarter off, and down
    to half if whole scenes are scaled instead of their tiles."""
    half_px = tiling.core_px // 2
    if getattr(segmenter, "any_tile", False) and not tiling.blends:
        return [half_px + 2 * tiling.halo_px] if half_px >= SMALLEST_SIDE_PX else []
    if tiling.blending == UNIFORM:
        return []
    if window_scalers(segmenter):
        return tiling.half_sides
    return tiling.similar_sides if isinstance(segmenter, NetworkSegmenter) else []
