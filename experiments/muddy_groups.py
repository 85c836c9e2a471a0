"""Odds that smooth, brown ground is muddy water: fitted on synthetic floods of mud, and tried at real places.

Usage: python experiments/muddy_groups.py --out runs/muddy_groups [--data FOLDER] [--pairs 160] [--write] [--smoke]

Draws SYNTHETIC places of all styles before and after, in any season and sensor, with and without the hazards of the world; over half of
them lies a muddy flood (`world/muddy_water.py`), over the others dark lawns, wet fields, vineyards or smoke. Smooth ground of the second
date is grouped by colour (`deepnets4eo/floods/mud.py`); a logistic regression learns which brown groups are new water. Every second
seed is left out of the fit and scored. FOLDER holds real pairs: for each, the share of the image that is surely and possibly muddy
water is stored. No weight is fitted on real places; the limits of brown and the least share were chosen while looking at Midwest 06, Harvey
126 and 377, Joplin, Moore, Santa Rosa 242, Mexico 05 and 10, and six cities of Turkey. The zero is the product of the first
three features above 0.18, as the idea was first tried. --write writes the card `mud.yaml` of the toolbox.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from script import NOTE, add_smoke, plain_errors, store_results
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from world.hazard import hazard_names
from world.muddy_water import dark_lawns, flooded_classes, muddy_look, under_smoke, vineyards, wet_fields
from world.pair import PairSample, draw_pair
from world.water_windows import FIELDS, WATER, oriented_noise, water_classes

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.cards import Legend
from deepnets4eo.files import write_text
from deepnets4eo.floods import mud
from deepnets4eo.floods.mud import FEATURES, MudGroup, MudRules
from deepnets4eo.rasters import Layer

CARD = Path(mud.__file__).with_name(mud.CARD)
SIZE_PX, GSD_M = 384, (0.7, 1.0)
WET, DRY = 0.6, 0.2  # shares of a group that is new water, and of one that is not; groups between teach nothing
PENALTY = 10.0
FLOODED_SHARE, TILLED_SHARE, SMOKY_SHARE = 0.5, 0.3, 0.3  # of the pairs; smoke of those without a flood
GROUND = [Legend.load("minicity").value(name) for name in ("low_vegetation", "clutter")]
ZERO = 0.18
QUICK = 6  # pairs of --smoke
PANEL_M, FINE_M = 0.92, 0.5  # pixels of the real pairs, by their sources
WETTED = ("midwest-flooding_00000006", "hurricane-harvey_00000126", "hurricane-harvey_00000377")
SITES = {
    **{f"xbd_more/{name}": FINE_M for name in (
        "midwest-flooding_00000006", "midwest-flooding_00000000", "midwest-flooding_00000004", "joplin-tornado_00000000",
        "santa-rosa-wildfire_00000242", "mexico-earthquake_00000005", "mexico-earthquake_00000010", "guatemala-volcano_00000021",
        "hurricane-florence_00000318", "hurricane-florence_00000480")},
    **{f"events_more/{name}": FINE_M for name in (
        "hurricane-harvey_00000126", "nepal-flooding_00000408", "moore_tornado", "hurricane-florence_00000375", "santa-rosa-wildfire_00000038")},
    **{f"events_more/{name}": PANEL_M for name in ("hurricane-harvey_00000377", "hurricane-florence_00000520", "santa-rosa-wildfire_00000115")},
    "xbd_midwest": FINE_M,
    **{f"turkey_2023/{name}": FINE_M for name in (
        "Kahramanmaras_Merkez_4", "Adiyaman_Merkez_6", "Adiyaman_Merkez_2_NE", "Adiyaman_Merkez_3_C", "Hatay_Mimar_Sinan_C", "Gaziantep_Merkez_2")},
}  # fmt: skip


def synthetic_groups(pairs: int) -> Iterator[tuple[int, MudGroup, float]]:
    """Yield the seed, each brown group of a synthetic pair, and the share of it that is new water."""
    hazards = ["none", "none", *hazard_names()]
    for seed in range(pairs):
        rng = np.random.default_rng([seed, 9100])
        pair = draw_pair(seed, size_px=SIZE_PX, gsd_m=float(rng.uniform(*GSD_M)), hazard=str(rng.choice(hazards)))
        before, after, new = draw_dates(pair, rng)
        groups, limit = mud.mud_groups(before, after, pair.gsd_m)
        numbers = mud.group_numbers(after, [group.colour for group in groups], limit)
        for number, group in enumerate(groups):
            own = numbers == number
            if group.may_be_mud and own.any():
                yield seed, group, float(new[own].mean())


def draw_dates(pair: PairSample, rng: np.random.Generator) -> tuple[FloatImage, FloatImage, Mask]:
    """Return both dates (3, H, W) of a pair and where the second shows new water; fields lie in both, haze and smoke in one."""
    images, seen = (
        [pair.pre.astype(np.float32), pair.post.astype(np.float32)],
        [water_classes(pair, date) for date in ("pre", "post")],
    )
    labels = [pair.labels_pre, pair.labels_post]
    for draw in rng.permutation(np.array([dark_lawns, wet_fields, vineyards], object))[: rng.integers(0, 3)]:
        state = rng.integers(1 << 32)  # the same fields at both dates, in the light of each
        images = [
            draw(image, np.isin(labels_then, GROUND) & (water != WATER), np.random.default_rng(state))
            for image, labels_then, water in zip(images, labels, seen, strict=True)
        ]
    if rng.random() < TILLED_SHARE:  # between the dates
        fields = np.isin(pair.solid_post, FIELDS) & (seen[1] != WATER) & np.isin(labels[1], GROUND)
        images[1] = wet_fields(images[1], fields, rng)
    classes = seen[1]
    if rng.random() < FLOODED_SHARE:
        below = oriented_noise(rng, classes.shape, rng.uniform(50, 200), 1.0) < rng.normal(0.3, 0.8)
        classes = flooded_classes(classes, labels[1], below)
        images[1] = muddy_look(images[1], (classes == WATER) & (seen[0] != WATER), rng)
    elif rng.random() < SMOKY_SHARE:
        images[1], classes = under_smoke(images[1], classes, labels[1], rng)
    before, after = (np.clip(np.rint(image[:3]), 0, 255).astype(np.float32) for image in images)
    return before, after, np.asarray((classes == WATER) & (seen[0] != WATER))


def fit(rows: list[tuple[int, MudGroup, float]]) -> dict[str, Any]:
    """Return weights and constant by all pairs, and the AUC of the pairs that are left out of a fit on the others."""
    known = [(seed, group, share) for seed, group, share in rows if share >= WET or share <= DRY]
    seeds = np.array([seed for seed, _, _ in known])
    values = np.array([group.features for _, group, _ in known])
    wet = np.array([share >= WET for _, _, share in known])
    left = seeds % 2 == 1
    scored = LogisticRegression(C=PENALTY).fit(values[~left], wet[~left]).predict_proba(values[left])[:, 1]
    model = LogisticRegression(C=PENALTY).fit(values, wet)
    product = np.array([np.prod(group.features[:3]) for _, group, _ in known])
    sure = scored >= MudRules.sure
    return {
        "weights": {name: round(float(weight), 3) for name, weight in zip(FEATURES, model.coef_[0], strict=True)},
        "constant": round(float(model.intercept_[0]), 3),
        "groups": len(known), "wet": int(wet.sum()),
        "left_out": {
            "auc": float(roc_auc_score(wet[left], scored)), "zero_auc": float(roc_auc_score(wet[left], product[left])),
            "sure": int(sure.sum()), "sure_right": float(wet[left][sure].mean()) if sure.any() else None,
            "recall": float(sure[wet[left]].mean()),
        },
    }  # fmt: skip


def real_shares(data: Path) -> dict[str, dict[str, float]]:
    """Return for each real pair the shares of the image that are surely and possibly muddy water, and by the zero."""
    shares = {}
    for site, gsd_m in SITES.items():
        pair = _pair(data, site)
        if pair is None:
            continue
        before, after = (_averaged(image, gsd_m) for image in pair)
        pixel_m = gsd_m * round(pair[0].shape[1] / before.shape[1])
        ground = mud.muddy_ground(before, after, pixel_m)
        chance = ground.probability(after, pixel_m) * ground.is_found
        zero = [group.share for group in ground.groups if group.may_be_mud and np.prod(group.features[:3]) >= ZERO]
        hectares = chance.size * pixel_m**2 / 1e4
        shares[Path(site).name] = {
            "sure_share": float((chance >= MudRules.sure).mean()), "possible_share": float((chance >= MudRules.possible).mean()),
            "sure_ha": float((chance >= MudRules.sure).mean() * hectares), "zero_share": float(sum(zero)),
        }  # fmt: skip
        print(f"{Path(site).name}: {shares[Path(site).name]}", file=sys.stderr)
    return shares


def _pair(data: Path, site: str) -> tuple[np.ndarray, np.ndarray] | None:
    folder = data / site
    for before, after in (("pre.png", "post.png"), ("pre.tif", "post.tif")):
        if (folder / before).is_file():
            return _read(folder / before), _read(folder / after)
    first = folder.with_name(f"{folder.name}_pre.jpg")
    return (_read(first), _read(folder.with_name(f"{folder.name}_post.jpg"))) if first.is_file() else None


def _read(path: Path) -> np.ndarray:
    return np.asarray(Layer.open(path).read()[0][:3], np.float32)


def _averaged(image: np.ndarray, gsd_m: float) -> np.ndarray:
    """Return the image in pixels of about 1 m, as the job works."""
    factor = max(1, round(1.0 / gsd_m))
    rows, cols = (side // factor * factor for side in image.shape[1:])
    cut = image[:, :rows, :cols].reshape(3, rows // factor, factor, cols // factor, factor)
    return np.asarray(cut.mean(axis=(2, 4)), np.float32)


def write_card(fitted: dict[str, Any]) -> None:
    """Write the weights where the toolbox reads them."""
    weights = ", ".join(f"{name}: {fitted['weights'][name]}" for name in FEATURES)
    head = "# Log-odds that a brown group of smooth ground is muddy water, by the features of `mud.py`: made by experiments/muddy_groups.py."
    write_text(CARD, f"{head}\nweights: {{{weights}}}\nconstant: {fitted['constant']}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pairs", type=int, default=160)
    parser.add_argument("--write", action="store_true", help="write the card")
    add_smoke(parser)
    options = parser.parse_args()
    pairs = QUICK if options.smoke else options.pairs
    fitted = fit(list(synthetic_groups(pairs)))
    if options.write:
        write_card(fitted)
    print(NOTE if options.smoke else "", fitted)
    real = {} if options.data is None else real_shares(options.data)
    store_results(options.out, smoke=options.smoke, pairs=pairs, fit=fitted, real=real)


if __name__ == "__main__":
    with plain_errors():
        main()
