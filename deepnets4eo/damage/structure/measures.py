"""The columns of evidence, computed from the sums of the pass; NaN if unknown."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.arrays import BuildingSums, Floats
from deepnets4eo.damage.structure.block import DIRECTIONS, INSIDE
from deepnets4eo.damage.structure.maps import Radiometry
from deepnets4eo.damage.table.columns import columns_of

CONTEXT = ("light", "log_floor", "red", "green", "blue")

MIN_EDGE = 1e-3
LOWEST_M = 2.0  # heights before the event below this are no building
HEIGHT_RANGE = 1.0
SHADED_SHARE = 0.8  # share of the ground along the walls that is dark where a building stands in shadow; one in the sun has two bright sides
DEEP = 0.75  # of the way from the usual brightness to the darkest, from which shadow is deep
GRAINS = 3.0  # times the grain, which noise alone reaches twice, up to which a dark roof shows nothing
BEST_ROOFS, MIN_ROOFS = (
    0.9,
    20,
)  # the quantile of a site's roofs that stands for unchanged ones, and of how many at least
USUAL_AGREEMENT, MIN_AGREEMENT = (
    0.7,
    0.35,
)  # of unchanged roofs where a site has too few; below the least, all may be gone


def evidence_columns(sums: dict[str, BuildingSums], paired: NDArray[np.bool_]) -> pd.DataFrame:
    """Return all evidence of N buildings that has inputs; NaN if the pre image is needed but `paired` is False."""
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = _of_post(image_means(sums, "post"))
        if "pre_inside" in sums:
            change = _of_change(image_means(sums, "pre"), image_means(sums, "post")) | _similarity(sums, paired)
            change["ev_shadow_loss"] = _shadow(sums["pre_shadow"]) - _shadow(sums["post_shadow"])
            columns |= {name: np.where(paired, values, np.nan) for name, values in change.items()}
        if "dsm_pre" in sums and "dsm_post" in sums:
            columns |= _height(sums)
        columns |= _support(sums)
    names = [name for name in columns_of("structure") if name in columns]
    frame = pd.DataFrame({name: columns[name] for name in names})
    return frame.replace([np.inf, -np.inf], np.nan)


def post_columns_of_pre(sums: dict[str, BuildingSums], paired: NDArray[np.bool_]) -> pd.DataFrame | None:
    """Return the columns that need only one image, of the pre image for `paired` buildings; None without a pre image."""
    if "pre_inside" not in sums:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = _of_post(image_means(sums, "pre"))
    frame = pd.DataFrame({name: np.where(paired, values, np.nan) for name, values in columns.items()})
    return frame.replace([np.inf, -np.inf], np.nan)


def image_means(sums: dict[str, BuildingSums], name: str) -> dict[str, Floats]:
    """Compute means inside the outline, along it, and over the open ground near it, for one image."""
    inside, outline, near = sums[f"{name}_inside"], sums[f"{name}_outline"][:, 0], sums[f"{name}_near"]
    mean = {key: inside[:, column] / inside[:, 0] for column, key in enumerate(INSIDE)}
    samples = sums[f"{name}_shadow"][:, DIRECTIONS:].sum(axis=1)
    mean["support"] = np.log2(outline / samples / (mean["edge"] + MIN_EDGE) + MIN_EDGE)
    mean["texture"] = np.log2(mean["rough"] + MIN_EDGE)
    mean["right"] = np.hypot(mean["right_cos"], mean["right_sin"]) / (mean["edge2"] + MIN_EDGE**2)
    return mean | {f"near_{key}": near[:, column] for column, key in enumerate(CONTEXT)}


def _of_post(post: dict[str, Floats]) -> dict[str, Floats]:
    return {
        "ev_roof_roughness": post["log_floor"],
        "ev_roof_vs_ground": post["log_floor"] - post["near_log_floor"],
        "ev_texture": post["texture"],
        "ev_outline_support": post["support"],
        "ev_right_angles": post["right"],
        "ev_tarp": post["tarp"],
        "ev_context_roughness": post["near_log_floor"],
    }


def _support(sums: dict[str, BuildingSums]) -> dict[str, Floats]:
    """Return how much of the roof the image shows: its width in pixels, and vegetation over it."""
    inside = sums["post_inside"]
    samples = sums["post_shadow"][:, DIRECTIONS:].sum(axis=1)  # one a pixel along the outline
    return {
        "ev_roof_width_px": 2 * sums["pixels"][:, 0] / samples,
        "ev_greenness": 3 * inside[:, INSIDE.index("green")] / inside[:, 0] - 1,
    }


def _of_change(pre: dict[str, Floats], post: dict[str, Floats]) -> dict[str, Floats]:
    colour = [_shift(post, pre, band) for band in ("red", "green", "blue")]
    return {
        "ev_roof_roughness_change": post["log_floor"] - pre["log_floor"],
        "ev_texture_change": post["texture"] - pre["texture"],
        "ev_outline_loss": pre["support"] - post["support"],
        "ev_right_angle_loss": pre["right"] - post["right"],
        "ev_light_change": np.abs(post["light"] - post["near_light"] - pre["light"] + pre["near_light"]),
        "ev_colour_change": np.sqrt(sum(band * band for band in colour)),
        "ev_context_change": post["near_log_floor"] - pre["near_log_floor"],
    }


def _shift(post: dict[str, Floats], pre: dict[str, Floats], band: str) -> Floats:
    """Change of a colour share inside, beyond the median change of the scene's open ground."""
    ground = post[f"near_{band}"] - pre[f"near_{band}"]
    known = ground[np.isfinite(ground)]
    return post[band] - pre[band] - (float(np.median(known)) if len(known) else 0.0)


def _similarity(sums: dict[str, BuildingSums], paired: NDArray[np.bool_]) -> dict[str, Floats]:
    return {
        "ev_roof_match": _of_site(sums["pair_roof"][:, 0], paired),
        "ev_structural_similarity": sums["pair_light"][:, 0],
    }


def _of_site(agreement: Floats, paired: NDArray[np.bool_]) -> Floats:
    """Return agreements relative to the site's best roofs: seasons and sensors lower all agreements equally."""
    known = agreement[paired & np.isfinite(agreement)]
    best = float(np.quantile(known, BEST_ROOFS)) if len(known) >= MIN_ROOFS else USUAL_AGREEMENT
    return agreement / max(best, MIN_AGREEMENT)


def _shadow(sums: BuildingSums) -> Floats:
    """Share of shadow outside the walls that face away from the sun, where the scene has most."""
    dark, samples = sums[:, :DIRECTIONS], sums[:, DIRECTIONS:]
    share = dark.sum(axis=0) / np.maximum(samples.sum(axis=0), 1)
    sides = np.array([-1, 0, 1])
    strength = [share[(way + sides) % DIRECTIONS].sum() for way in range(DIRECTIONS)]
    facing = (int(np.argmax(strength)) + sides) % DIRECTIONS
    return dark[:, facing].sum(axis=1) / samples[:, facing].sum(axis=1)


def in_deep_shadow(sums: dict[str, BuildingSums], post: Radiometry) -> NDArray[np.bool_]:
    """Return (N,) buildings in shadow on all sides, whose roofs show no more than the grain of the image."""
    inside, wall = sums["post_inside"], sums["post_shadow"]
    with np.errstate(invalid="ignore", divide="ignore"):
        shaded = wall[:, :DIRECTIONS].sum(axis=1) / wall[:, DIRECTIONS:].sum(axis=1)
        light, rough = (inside[:, INSIDE.index(name)] / inside[:, 0] for name in ("light", "rough"))
    return np.asarray(
        (post.darkest < 0) & (shaded >= SHADED_SHARE) & (light <= DEEP * post.darkest) & (rough <= GRAINS * post.grain)
    )


def _height(sums: dict[str, BuildingSums]) -> dict[str, Floats]:
    """Mean height above the lowest open ground near by, before minus after."""
    above = {}
    for name in ("dsm_pre", "dsm_post"):
        above[name] = sums[name][:, 1] / sums[name][:, 0] - sums[f"{name}_ground"][:, 0]
    loss = above["dsm_pre"] - above["dsm_post"]
    share = np.clip(loss / np.maximum(above["dsm_pre"], LOWEST_M), -HEIGHT_RANGE, HEIGHT_RANGE)
    return {"ev_height_loss_m": loss, "ev_height_loss_share": share}
