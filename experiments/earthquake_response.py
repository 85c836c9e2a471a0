"""The challenge "AI for Earthquake Response": F1 of damaged buildings by site, each method alone beside their vote, and files to hand in.

Usage: python experiments/earthquake_response.py --out FOLDER [--data COPY] [--recipe experiments/earthquake_response.yaml]
                                                 [--seeds 3] [--smoke]

COPY is your copy of the challenge (Training and Testing, or one of them). Without it, six made-up sites (SYNTHETIC) are written in
its layout for each seed and read back: two of them labelled in part, one with the image after the event alone, one whose image
before it has pixels 12 times as large. The recipe says which scenes show each site and which methods vote. A method of both images
does not vote on a site that it assesses from the image after the event alone, since the gate of its registration refuses the
pair; where none of them votes, the recipe's `fallback` does. A COPY that holds NAME_pre.jpg and NAME_post.jpg of pairs without
grades is mapped for a grading by eye instead, as `by_eye` says. Nothing is fitted or chosen here. The published rows are those
of the second place; their last column is the leaderboard's SCORE, ours the plain mean over sites.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from by_eye import grade_pairs
from challenge import (
    ANNOTATIONS,
    BAND_FOLDER,
    BANDS,
    UNKNOWN,
    ChallengeSite,
    SiteFiles,
    calls_for_f1,
    calls_of,
    damaged_f1,
    majority,
    read_site,
    write_submission,
)
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from places.working_grid import CRS, metric_grid
from pydantic import Field, model_validator
from script import add_smoke, plain_errors, title_of
from world import PairSample, draw_pair
from world.plan import BOTH

from deepnets4eo.cards import DatasetCard
from deepnets4eo.damage import Settings, assess
from deepnets4eo.damage.network.look_model import by_site, look_features
from deepnets4eo.damage.network.look_training import LookSite, fit_look
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.vocabulary import MAJOR
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import spread
from deepnets4eo.files import read_yaml, write_json, write_text
from deepnets4eo.grid import transform_shapes
from deepnets4eo.options import Section, options_from
from deepnets4eo.outputs import EventInfo
from deepnets4eo.polygons import write_vector
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic.write import write_raster

FINAL = {"Telepix": 0.7066794, "Datalayer": 0.6697664, "DisasterM3": 0.6597626, "Badaboum": 0.6469298}  # both phases
SHARES = {1: 0.4, 2: 0.6}  # of the phases
CARD, RECIPE = "earthquake_response", Path(__file__).with_suffix(".yaml")
VOTE = "majority vote"
QUAKE = EventInfo(name="Earthquake")
LOOK_SHARE, MIN_NEIGHBOURS = (
    0.5,
    2,
)  # share of the look; labelled sites with buildings of both sides that it is fitted on
COARSER = 12
SIZE_PX, SMOKE_PX, GSD_M = 48 * COARSER, 24 * COARSER, 0.5
MIN_DAMAGED = 10  # buildings of a made-up site; seeds with fewer are passed over, as F1 is of no worth there
TRIES = 20  # seeds a site
SMOKE_SITES = ("village", "terraces, post alone")

log = logging.getLogger("earthquake_response")


class Voter(Section):
    """A damage job: its settings, with the image before the event or without, both images turned by quarters.
    by : "f1" calls as many buildings damaged as make the expected F1 greatest, "grade" those of major damage or worse.
    neighbours : whether the look of the labelled buildings of the other sites takes part (docs/howto/earthquake.md)."""

    by: Literal["f1", "grade"] = "f1"
    settings: dict[str, Any] = {}
    pre: bool = True
    quarter_turns: int = Field(default=0, ge=0, le=3)
    neighbours: bool = False


class VoteRecipe(Section):
    """Which scenes show each site, the voters by name, and who votes where both images serve and where they do not."""

    sites: dict[str, SiteFiles]
    voters: dict[str, Voter]
    vote: tuple[str, ...]
    fallback: tuple[str, ...]

    @model_validator(mode="after")
    def _known_voters(self) -> VoteRecipe:
        unknown = [name for name in (*self.vote, *self.fallback) if name not in self.voters]
        if unknown or not self.vote or not self.fallback or any(self.voters[name].pre for name in self.fallback):
            raise ValueError(
                f"lets {', '.join(unknown) or 'none, or methods of both images,'} vote; expected names of voters, and in "
                "fallback such with pre: false"
            )
        return self


@dataclass(frozen=True)
class MadeUpSite:
    """One of the six: its style, whether half of it is labelled, and what is wrong with its image before the event."""

    style: str
    half_labelled: bool = False
    post_alone: bool = False
    coarse: bool = False


MADE_UP = {
    "blocks": MadeUpSite("concrete-blocks"),
    "old town": MadeUpSite("old-town"),
    "village": MadeUpSite("village", half_labelled=True),
    "informal": MadeUpSite("informal", half_labelled=True),
    "terraces, post alone": MadeUpSite("terraces", post_alone=True),
    "suburb, pre 1:12": MadeUpSite("suburb", coarse=True),
}


@dataclass
class SiteResult:
    """Calls of every voter and of the vote on one site, by name, those who saw both images, and processor seconds.
    registration : status by voter, where it has two images."""

    site: ChallengeSite
    paired: list[str] = field(default_factory=list)
    registration: dict[str, str] = field(default_factory=dict)
    calls: dict[str, NDArray[np.int8]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def f1(self) -> dict[str, float]:
        """F1 by the name of the method."""
        return {name: damaged_f1(self.site.labels, calls) for name, calls in self.calls.items()}


def looks_of_neighbours(sites: Sequence[ChallengeSite], out: Path) -> dict[str, Path]:
    """Return by site the fit of the look of the labelled buildings of all other sites; a site is missing if they do not suffice."""
    looks, fits = {}, {}
    for site in sites:
        standard = by_site(
            look_features(site.post, site.footprints.frame.geometry.to_crs(site.post.grid.crs).to_numpy())
        )
        known = np.isfinite(standard).all(axis=1) & (site.labels != UNKNOWN)
        looks[site.name] = LookSite(standard[known], site.labels[known] == 1, site.name)
    for name in looks:
        others = [look for group, look in looks.items() if group != name and len(look.damaged)]
        if sum(look.has_both_sides for look in others) >= MIN_NEIGHBOURS:
            fits[name] = fit_look(others)[0].save(out / name.replace(" ", "_")).parent
    return fits


def grade_site(site: ChallengeSite, recipe: VoteRecipe, look: Path | None = None) -> SiteResult:
    """Run all voters on a site, then let them vote. look : of its neighbours; voters that need it are left out without it."""
    result, started = SiteResult(site), time.process_time()
    ids = site.footprints.frame["id"].tolist()
    voters = {name: voter for name, voter in recipe.voters.items() if look or not voter.neighbours}
    for name, voter in voters.items():
        pre = turn_layer(site.pre, voter.quarter_turns) if voter.pre and site.pre is not None else None
        of_neighbours = {"look": LOOK_SHARE, "look_from": str(look)} if voter.neighbours else {}
        settings = options_from(Settings, {**voter.settings, **of_neighbours}, name)
        damage_map = assess(
            pre,
            turn_layer(site.post, voter.quarter_turns),
            site.footprints,
            settings=settings,
            event=QUAKE if voter.neighbours else EventInfo(),
        )
        result.calls[name] = calls_of(damage_map.buildings, ids)
        if voter.by == "f1":
            probability = damage_map.buildings.set_index("id")["damage_prob"].reindex(ids).to_numpy(float)
            result.calls[name] = calls_for_f1(np.where(result.calls[name] == UNKNOWN, np.nan, probability))
        if pre is not None:
            result.registration[name] = str((damage_map.registration or {}).get("status", "none"))
        if Buildings(damage_map.buildings).compared.any():
            result.paired.append(name)
    of_vote = [name for name in recipe.vote if name in result.paired or (name in voters and not voters[name].pre)]
    names = of_vote if set(of_vote) & set(result.paired) else recipe.fallback
    result.calls[VOTE] = majority(np.array([result.calls[name] for name in names]))
    result.seconds = time.process_time() - started
    return result


def turn_layer(layer: Layer, quarters: int) -> Layer:
    """The layer with its rows and columns turned by quarters; the ground stays where it is, nothing is read."""
    (height, width), corners = layer.shape, [(0, 0), (1, 0), (1, 1), (0, 1)]
    x, y = corners[quarters]
    turn = Affine.translation(x * width, y * height) * Affine.rotation(90 * quarters)
    shape = (height, width) if quarters % 2 == 0 else (width, height)
    return layer if quarters == 0 else layer.on(GeoBox(shape, layer.grid.affine * turn, layer.grid.crs), "nearest")


def hand_in(result: SiteResult, out: Path) -> Path:
    """The site's file with the vote; buildings that were not assessed, or whose outline is unusable, count as undamaged."""
    from deepnets4eo.footprints import read_table
    from deepnets4eo.footprints.ids import make_ids

    ids = make_ids(read_table(result.site.path), None, result.site.name).texts.tolist()
    known = dict(zip(result.site.footprints.frame["id"], result.calls[VOTE].tolist(), strict=True))
    unseen = [name for name in ids if known.get(name, UNKNOWN) == UNKNOWN]
    if unseen:
        log.warning(
            "%s: %d of %d buildings were not assessed and are handed in as 0", result.site.name, len(unseen), len(ids)
        )
    return write_submission(result.site.path, {name: max(known.get(name, 0), 0) for name in ids}, out)


def write_made_up_sites(folder: Path, seed: int, *, smoke: bool = False) -> dict[str, SiteFiles]:
    """Six made-up sites in the layout of the challenge, two small ones for --smoke; what is there is not written again."""
    files: dict[str, SiteFiles] = {}
    for number, (name, kind) in enumerate(MADE_UP.items()):
        if smoke and name not in SMOKE_SITES:
            continue
        stem = name.split(",")[0].replace(" ", "_")
        files[name] = SiteFiles(
            footprints=f"{stem}_training.gpkg", post=f"{stem}_post-calibrated",
            pre=None if kind.post_alone else f"{stem}_pre-calibrated",
        )  # fmt: skip
        path = folder / "Training" / ANNOTATIONS / files[name].footprints
        if path.exists():
            continue
        first = 1000 * seed + 100 * number
        sample = _damaged_pair(kind, first, SMOKE_PX, 1) if smoke else _damaged_pair(kind, first, SIZE_PX, TRIES)
        _write_scene(folder / "Training" / files[name].post, sample.post, 1, sample)
        if files[name].pre is not None:
            _write_scene(folder / "Training" / str(files[name].pre), sample.pre, COARSER if kind.coarse else 1, sample)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_vector(_outlines(sample, half_labelled=kind.half_labelled), path)
    return files


def _damaged_pair(kind: MadeUpSite, first_seed: int, size_px: int, tries: int) -> PairSample:
    """The first pair of a style with so many damaged buildings, or the one with most of them."""
    drawn = []
    for seed in range(first_seed, first_seed + tries):
        sample = draw_pair(seed, style=kind.style, hazard="earthquake", size_px=size_px, gsd_m=GSD_M)
        drawn.append((int((_outlines(sample)["damaged"] == 1).sum()), -seed, sample))
        if drawn[-1][0] >= MIN_DAMAGED:
            return sample
        drawn = [max(drawn, key=lambda one: one[:2])]
    return drawn[0][2]


def _outlines(sample: PairSample, *, half_labelled: bool = False) -> gpd.GeoDataFrame:
    """Buildings of both dates where the post image shows the ground, with their labels."""
    shapes = np.array(sample.polygons(), dtype=object)
    rows = np.flatnonzero((sample.plan.buildings["when"] == BOTH) & (shapely.area(shapes) > 0))
    down, right = sample.post_shift_px
    moved = shapely.transform(shapes[rows], lambda points: points + (right, down))
    grid = metric_grid(sample.labels_post.shape, (sample.gsd_m, sample.gsd_m))
    labels = (sample.visible[rows] >= MAJOR).astype(float)
    if half_labelled:
        labels[::2] = np.nan
    return gpd.GeoDataFrame({"damaged": labels}, geometry=transform_shapes(grid.affine, moved), crs=CRS)


def _write_scene(folder: Path, image: NDArray[np.uint8], coarser: int, sample: PairSample) -> None:
    """One raster a band, each pixel the mean of `coarser` by `coarser`."""
    bands, height, width = image[:3].shape
    blocks = image[:3].reshape(bands, height // coarser, coarser, width // coarser, coarser)
    pixels = np.round(blocks.mean(axis=(2, 4))).astype(np.uint8)
    grid = metric_grid(pixels.shape[1:], (sample.gsd_m * coarser,) * 2)
    (folder / BAND_FOLDER).mkdir(parents=True, exist_ok=True)
    for name, band in zip(BANDS, pixels, strict=True):
        tags = {"SYNTHETIC": f"miniature world, style {sample.style}, seed {sample.seed}"}
        write_raster(folder / BAND_FOLDER / f"r-{name}.tif", grid, band, tags)


def table(results: Sequence[Mapping[str, SiteResult]], title: str) -> str:
    """F1 of every method by site and their mean, mean ± sd over seeds, below the published rows; as Markdown."""
    sites = list(results[0])
    calls = [result.calls for one in results for result in one.values()]
    names = [name for name in max(calls, key=len) if all(name in of_site for of_site in calls)]
    lines = [["method", *sites, "mean"], ["---", *["---:"] * (len(sites) + 1)]]
    scores = {name: np.array([[one[site].f1[name] for site in sites] for one in results]) for name in names}
    shared = np.isfinite(np.stack(list(scores.values()))).all(
        axis=(0, 1)
    )  # else the means of rows are over different sites
    for name, f1 in scores.items():
        mean = spread(f1[:, shared].mean(axis=1), 3) if shared.any() else "–"
        lines.append([name, *(spread(column, 3) for column in f1.T), mean])
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    left_out = [site for site, known in zip(sites, shared, strict=True) if not known]
    notes = [f"- the mean leaves out {', '.join(left_out)}, where a method has no score"] if left_out else []
    notes += [
        f"- {site}: " + "; ".join(
            f"{len(one[site].site.labels)} buildings, {(one[site].site.labels >= 0).sum()} labelled, "
            f"{(one[site].site.labels == 1).sum()} damaged; registration {', '.join(one[site].registration.values()) or 'none'}; "
            f"{f'{len(one[site].paired)} voters saw both images' if one[site].paired else 'the fallback voted'}; "
            f"{one[site].seconds:.0f} s of processor"
            for one in results
        )
        for site in sites
    ]  # fmt: skip
    return f"{published_rows()}\n## {title}\n\n{body}\n\n" + "\n".join(notes) + "\n"


def final_score(f1: Mapping[str, float], phases: Mapping[str, int]) -> float:
    """40 % of the mean F1 of the first phase's sites and 60 % of the second's; NaN where one of them has no label. f1 : of each site"""
    means = {phase: [f1[site] for site in f1 if phases[site] == phase and not np.isnan(f1[site])] for phase in SHARES}
    if not all(means.values()):
        return float("nan")
    return sum(share * float(np.mean(means[phase])) for phase, share in SHARES.items())


def final_line(results: Sequence[Mapping[str, SiteResult]], phases: Mapping[str, int]) -> str:
    """The vote's score of both phases, or why there is none."""
    scores = [final_score({site: one[site].f1[VOTE] for site in one}, phases) for one in results]
    if np.isnan(scores).all():
        return "- both phases: no score, as one of them has no labelled site here (the second's labels are the organisers')"
    return f"- both phases, 40 % of the first and 60 % of the second, {VOTE}: {spread(scores, 5)}"


def published_rows() -> str:
    """The published rows of the card."""
    card = DatasetCard.load(CARD).published
    sites = list(next(iter(card.values())).sites)
    lines = [["published", *sites, "SCORE"], ["---", *["---:"] * (len(sites) + 1)]]
    lines += [
        [name, *(f"{one.sites[site] / 100:.3f}" for site in sites), f"{(one.mean_f1 or 0) / 100:.5f}"]
        for name, one in card.items()
    ]
    lines += [
        [f"final rank {rank}, {team}, 40 % phase 1 and 60 % phase 2", *["–"] * len(sites), f"{score:.5f}"]
        for rank, (team, score) in enumerate(FINAL.items(), 1)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="your copy; six made-up sites without it")
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3, help="of the made-up sites")
    add_smoke(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    if options.data and any(options.data.glob("*_post.jpg")):
        print(write_text(options.out / "by_eye.md", grade_pairs(options.data, options.out)))
        return
    recipe = options_from(VoteRecipe, read_yaml(options.recipe), str(options.recipe))
    results: list[dict[str, SiteResult]] = []
    for seed in range(1 if options.data or options.smoke else options.seeds):
        root, out = options.data, options.out / "submission"
        if root is None:
            root, out = options.out / f"made-up-{seed}", options.out / f"submission-{seed}"
            recipe = recipe.model_copy(update={"sites": write_made_up_sites(root, seed, smoke=options.smoke)})
        sites = []
        for name, files in recipe.sites.items():
            try:
                sites.append(read_site(root, name, files))
            except InputError as error:  # a copy of one phase, or of some sites
                log.warning("%s is left out: %s", name, error)
        wanted = any(voter.neighbours for voter in recipe.voters.values())
        looks = looks_of_neighbours(sites, options.out / f"looks-{seed}") if wanted else {}
        results.append({})
        for site in sites:
            results[-1][site.name] = grade_site(site, recipe, looks.get(site.name))
            print(hand_in(results[-1][site.name], out), flush=True)
        if not results[-1]:
            raise InputError(
                f"{root} has none of the sites {', '.join(recipe.sites)}. Name them and their scenes in {options.recipe}."
            )
    title = "F1 of damaged buildings" + ("" if options.data else ", made-up sites (SYNTHETIC)")
    write_json(options.out / "f1.json", [{name: one.f1 for name, one in of_seed.items()} for of_seed in results])
    phases = {name: files.phase for name, files in recipe.sites.items()}
    text = table(results, title_of(title, smoke=options.smoke)) + final_line(results, phases) + "\n"
    print(text)
    print(write_text(options.out / "table.md", text))


if __name__ == "__main__":
    with plain_errors():
        main()
