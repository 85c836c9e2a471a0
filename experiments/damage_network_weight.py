"""How far the network should decide beside the weight-free model: shares of its log-odds, at made-up sites new to both.

Usage: python experiments/damage_network_weight.py --network RUN [--pairs 60] [--styles NAME …] [--cities 12]
       [--hazards NAME …] [--out runs/network_weight] [--write]

Each site goes through the damage job as it comes, with the pre image and without: pairs of the miniature world, whose
styles and hazards the network knows from other seeds, and suburbs of the miniature city, which both the network and the
weight-free model know from other seeds. The table has, for each share of the network, the mean over
sites of the AUC of major damage or worse within the site, and the log loss where half of the buildings of each site are
damaged; --write puts the share of the least loss, the world and the city counting the same, into the card of the run, and how
far model and network hold together at a new site (calibration, spread between sites, sets of grades). Further tables
have what the whole decision reaches at sites of a hazard, or of a style, that this was not measured with, in all and for each of
them: calibration (ECE, Brier), log loss, false alarms and recall, error of the estimated share; the last one what the network reaches
alone at buildings that the weight-free model does not know, whose reliability --write measures as well. SYNTHETIC. The gathered
sites are kept in --out and used again.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from places.damage_scores import even_loss, scores_of
from places.working_grid import FOOTPRINT_ERROR_M, MadeUpPair, world_pair
from script import NOTE, add_smoke, plain_errors, store_results
from sklearn.metrics import log_loss, roc_auc_score

from deepnets4eo.damage import GRADES, Settings, assess
from deepnets4eo.damage.decision.decision import name_damaged
from deepnets4eo.damage.decision.fit_model import GradedEvidence
from deepnets4eo.damage.decision.model import DamageModel
from deepnets4eo.damage.decision.pool import ALONE, RELIABILITY, pool_log_odds
from deepnets4eo.damage.decision.reliability import Reliability, fit_reliability
from deepnets4eo.damage.decision.site_fit import MAX_INFORMATION as MAX_AT_SITE, UNKNOWN_SITE, fit_to_site
from deepnets4eo.damage.network.grader import POST_ALONE
from deepnets4eo.damage.site.skill import EQUAL_SHARE, SHARE
from deepnets4eo.damage.table.buildings import NETWORK, Buildings
from deepnets4eo.damage.table.grades import Grades
from deepnets4eo.damage.table.probabilities import border_log_odds
from deepnets4eo.damage.table.reasons import BY_NETWORK
from deepnets4eo.damage.table.vocabulary import MAJOR, POST_ONLY, PRE_POST, STATUSES
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.files import read_yaml
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import RunFolder, load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.synthetic import City, Event

MIN_BUILDINGS = 20  # buildings of a pair whose calibration error counts
Array = NDArray[np.float64]

LOG = logging.getLogger("damage_network_weight")
FIRST_WORLD, FIRST_CITY = 8_000_000, 5_000  # seeds that nothing was fitted to
CITY_M = 320.0
# Buildings of a site that say how far its evidence is shifted: fewer than without the network, whose errors at one site are more
# alike. Chosen at hazards left out: the intervals of the number of damaged buildings hold the truth at 94 % or more of the sites
# (with 5: at 89 % or more), and log loss is less than with 5 or 10; with 2 it is a little less still, and the intervals are wider.
MAX_INFORMATION = 3.0
MIN_OF_EACH = 3  # buildings of either side, without which a site has no AUC
SHARES = (0.0, 0.15, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
METHODS = {"pair": PRE_POST, "post": POST_ONLY}
ALONE_KEYS = ("auc", "false_alarms", "recall", "f1", "four_grades", "ece", "brier")


def world_sites(
    pairs: int, styles: Sequence[str], hazards: Sequence[str] = ()
) -> Iterator[tuple[str, str, Callable[[], MadeUpPair]]]:
    """Names, hazards and makers of pairs, styles and hazards in random order; of some hazards, those that would come among all."""
    from world import hazard_names, style_names

    def make(seed: int, style: str, hazard: str) -> MadeUpPair:
        return world_pair(seed, style, hazard, np.random.default_rng([seed, 1]))

    kinds = list(product(styles or style_names(), hazard_names()))
    order = np.random.default_rng(FIRST_WORLD).permutation(len(kinds))[:pairs]
    for number in order.tolist():
        style, hazard = kinds[number]
        if hazards and hazard not in hazards:
            continue
        yield f"world-{style}-{hazard}", hazard, partial(make, FIRST_WORLD + number, style, hazard)


def city_sites(cities: int) -> Iterator[tuple[str, str, Callable[[], MadeUpPair]]]:
    """Names, `city` and makers of suburbs."""

    def make(seed: int) -> MadeUpPair:
        rng = np.random.default_rng([seed, 1])
        gsd_m = float(rng.uniform(0.35, 0.6))
        city = City(seed, round(CITY_M / gsd_m), gsd_m, event=Event.draw(seed))
        outlines = city.buildings[["id", "damage", "geometry"]].copy()
        outlines.geometry = outlines.geometry.translate(*rng.normal(0, FOOTPRINT_ERROR_M, 2))
        pre, post = (Layer.open(image.image[:3], grid=image.grid) for image in (city.pre, city.post))
        return MadeUpPair(pre, post, outlines)

    for seed in range(FIRST_CITY, FIRST_CITY + cities):
        yield f"city-{seed}", "city", partial(make, seed)


def grade_site(site: MadeUpPair, name: str, kind: str, settings: Settings) -> pd.DataFrame:
    """The buildings that the model or the network grades, from both images and from post alone, with their evidence, name, kind and truth."""
    truth = site.outlines.set_index(site.outlines["id"].astype(str))["damage"]
    tables = []
    for pre in (site.pre, None):
        try:
            buildings = assess(pre, site.post, site.outlines.drop(columns="damage"), settings=settings).buildings
        except DeepNets4EOError as error:
            LOG.info("%s: %s", name, error)
            continue
        table = pd.DataFrame(buildings.drop(columns="geometry"))
        if not set(NETWORK) <= set(table):
            LOG.info("%s: no building is assessed", name)
            continue
        table.loc[table["reason"].str.startswith(BY_NETWORK), "status"] = STATUSES[
            1
        ]  # by the model, which this compares with
        table = table[Buildings(table).assessed | Buildings(table).graded_by_network]
        graded = table.assign(site=name, kind=kind, dates="pair" if pre is not None else "post")
        tables.append(graded.assign(truth=graded["id"].astype(str).map(truth)))
    return pd.concat(tables) if tables else pd.DataFrame()


def gather(out: Path, network: Path, sites: Iterable[tuple[str, str, Callable[[], MadeUpPair]]]) -> pd.DataFrame:
    """All buildings of sites, each kept in a file of its own."""
    out.mkdir(parents=True, exist_ok=True)
    settings = replace(Settings(), model=str(network), network_weight=0.5, workers=1)
    tables = []
    for name, kind, make in sites:
        path = out / f"{name}.parquet"
        if not path.is_file():
            site = make()
            table = grade_site(site, name, kind, settings) if len(site.outlines) else pd.DataFrame()
            table.to_parquet(path)
            LOG.info("%s: %d rows", name, len(table))
        tables.append(pd.read_parquet(path))
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def score(buildings: pd.DataFrame) -> pd.DataFrame:
    """Mean AUC within sites and log loss at even shares, by dates, kind of site and share of the network."""
    model, rows = DamageModel.load(), []
    buildings = buildings[Buildings(buildings).graded_by_network].reset_index(drop=True)
    weight_free = model.probabilities(buildings)
    damaged = buildings["truth"].isin(GRADES[2:]).to_numpy()
    for share in SHARES:
        probability = pool_log_odds(weight_free, Buildings(buildings).network, share)[:, 2:].sum(axis=1)
        for (dates, kind, name), site in buildings.groupby(["dates", "kind", "site"]):
            known = site.index[np.isfinite(probability[site.index])]
            truth: NDArray[np.bool_] = damaged[known]
            if min(truth.sum(), (~truth).sum()) < MIN_OF_EACH:
                continue
            loss = even_loss(truth, probability[known])
            style = style_of(str(name), str(kind))
            rows.append((dates, kind, style, share, roc_auc_score(truth, probability[known]), loss))
    return pd.DataFrame(rows, columns=["dates", "kind", "style", "share", "auc", "loss"])


def best_share(scores: pd.DataFrame, dates: str) -> float:
    """The share of the least log loss, the world and the city counting the same."""
    own = scores[scores["dates"] == dates]
    means = own.groupby([own["kind"] == "city", "share"])["loss"].mean().groupby("share").mean()
    return float(means.index.to_numpy(float)[int(means.argmin())])


def left_out_sites(buildings: pd.DataFrame, weights: dict[str, float], of: str) -> pd.DataFrame:
    """Scores of whole decisions, one row a site and decision: the weight-free model as it is; with the network, the reliability
    measured without the sites of the same kind (the suburbs are one).

    of : what sites of one kind share, `kind` (the hazard) or `style`.
    """
    model, rows = DamageModel.load(), []
    for dates, (method, weight) in weights_of(weights).items():
        data, log_odds = pooled_log_odds(model, buildings, dates, weight)
        everything = np.ones(len(data.grade), bool)
        kind = _kind_of(data, of)
        decided = {
            "weight-free": model_rows(model, method, data, everything),
            "with network": left_out_rows(log_odds, data, kind, everything, MAX_INFORMATION),
        }
        for name, table in decided.items():
            for _, site in table.groupby("group"):
                if len(site) >= MIN_BUILDINGS:
                    own = {"dates": dates, "kind": kind[site.index[0]], "sites": _sort_of(site), "decision": name}
                    rows.append(own | site_scores(site))
    return pd.DataFrame(rows)


def means_of(sites: pd.DataFrame, columns: list[str]) -> str:
    """Table of means over sites, with the number of sites."""
    grouped = sites.groupby(columns)
    return str(grouped.mean(numeric_only=True).assign(number=grouped.size()).round(3).to_string())


def stored_means(sites: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return means over sites by dates, sort of site and decision, with the number of sites."""
    columns = ["dates", "sites", "decision"]
    means: dict[str, dict[str, float]] = {}
    for names, table in sites.groupby(columns):
        scores = table.mean(numeric_only=True).round(4).dropna()
        means[", ".join(map(str, names))] = {"sites": len(table)} | {
            str(key): float(scores[key]) for key in scores.index
        }
    return means


def _kind_of(data: GradedEvidence, of: str) -> NDArray[np.object_]:
    """(N,) hazards, or styles; `city` for the suburbs."""
    if of == "kind":
        return data.domain
    names = zip(data.group.astype(str), data.domain.astype(str), strict=True)
    return np.array([style_of(*name) for name in names], object)


def style_of(site: str, kind: str) -> str:
    """Style of a site of the world by its name and hazard; `city` for the suburbs."""
    return "city" if kind == "city" else site.removeprefix("world-").removesuffix(f"-{kind}")


def _sort_of(site: pd.DataFrame) -> str:
    if str(site["group"].iloc[0]).startswith("city"):
        return "city"
    return "world" if (site["truth"] >= MAJOR).any() else "intact"


def site_scores(rows: pd.DataFrame) -> dict[str, float]:
    """Scores of one site at its estimated share, and how far that lies off."""
    own = scores_of(rows)
    damaged, probability = (rows["truth"] >= MAJOR).to_numpy(), rows["probability"].to_numpy(float)
    return {key: own[key] for key in ("auc", "false_alarms", "recall", "four_grades", "ece", "brier")} | {
        "log_loss": float(log_loss(damaged, np.clip(probability, 1e-4, 1 - 1e-4), labels=[False, True])),
        "share_error": float(abs(probability.mean() - damaged.mean())),
    }


def pooled_log_odds(
    model: DamageModel, buildings: pd.DataFrame, dates: str, weight: float
) -> tuple[GradedEvidence, NDArray[np.float64]]:
    """The buildings that both graded, their kinds of site as domains, and (N, 3) log-odds of both together."""
    table = buildings[(buildings["dates"] == dates) & Buildings(buildings).graded_by_network].reset_index(drop=True)
    weight_free = model.probabilities(table)
    known = np.isfinite(weight_free[:, 0])
    log_odds = border_log_odds(pool_log_odds(weight_free, Buildings(table).network, weight))[known]
    table = table[known].reset_index(drop=True)
    return _graded(table), log_odds


def log_odds_alone(buildings: pd.DataFrame, dates: str) -> tuple[GradedEvidence, NDArray[np.float64]]:
    """The buildings outside the range of the weight-free model that the network graded, and (N, 3) log-odds of the network."""
    outside = ~Buildings(buildings).assessed & buildings["truth"].isin(GRADES)
    rows = (buildings["dates"] == dates) & outside & Buildings(buildings).graded_by_network
    table = buildings[rows].reset_index(drop=True)
    return _graded(table), border_log_odds(Buildings(table).network)


def _graded(table: pd.DataFrame) -> GradedEvidence:
    """Evidence and true grades, with kinds of sites as domains."""
    grade = table["truth"].map({name: number for number, name in enumerate(GRADES)}).to_numpy(int)
    return GradedEvidence(table, grade, table["kind"].to_numpy(object), table["site"].to_numpy(object))


def alone_at_left_out_hazards(buildings: pd.DataFrame) -> pd.DataFrame:
    """Scores of the network alone at buildings that the weight-free model does not know, all of them together, with the
    reliability measured without sites of the same hazard."""
    rows = []
    for dates in METHODS:
        data, log_odds = log_odds_alone(buildings, dates)
        decided = left_out_rows(log_odds, data, data.domain, np.ones(len(data.grade), bool), MAX_INFORMATION)
        own = scores_of(decided)
        rows.append({"dates": dates} | {key: own[key] for key in ("assessed", "damaged", *ALONE_KEYS)})
    return pd.DataFrame(rows).round(3)


def weights_of(shares: dict[str, float]) -> dict[str, tuple[str, float]]:
    """Dates → how buildings are assessed, and the network's weight in a job that is left as it comes."""
    return {dates: (METHODS[dates], min(share, EQUAL_SHARE)) for dates, share in shares.items()}


def write_card(folder: Path, buildings: pd.DataFrame, shares: dict[str, float]) -> None:
    """Put shares and reliability into the card of a run, which is sealed anew."""
    run, recipe, model = load_run(folder), read_yaml(RunFolder(folder).recipe), DamageModel.load()
    measured, alone = {}, {}
    for dates, (method, weight) in weights_of(shares).items():
        data, log_odds = pooled_log_odds(model, buildings, dates, weight)
        reliability = fit_reliability(log_odds, data.grade, data.group, MAX_INFORMATION)
        measured[method] = {"weight": weight, **reliability.to_dict()}
        outside, network = log_odds_alone(buildings, dates)
        reliability = fit_reliability(network, outside.grade, outside.group, MAX_INFORMATION)
        if reliability.site != UNKNOWN_SITE:  # sites enough to say how far one is shifted
            alone[method] = {"weight": 1.0, **reliability.to_dict()}
    notes = dict(run.card["notes"]) | {SHARE: shares["pair"], RELIABILITY: measured, ALONE: alone}
    notes[POST_ALONE] = notes[POST_ALONE] | {SHARE: shares["post"]}
    save_run(run.segmenter, folder, recipe=recipe, seed=run.card["seed"], notes=notes)


def main() -> None:
    """Gather, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=Path, required=True, help="run of damage-network")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--styles", nargs="*", default=[], help="of the pairs; all where none is named")
    parser.add_argument(
        "--hazards", nargs="*", default=[], help="of the pairs, such as flood none; all where none is named"
    )
    parser.add_argument("--cities", type=int, default=12)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="put the best shares into the card")
    add_smoke(parser)
    arguments = parser.parse_args()
    pairs, cities = arguments.pairs, arguments.cities
    if arguments.smoke:
        print(NOTE)
        pairs, cities = 1, 1
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    LOG.setLevel(logging.INFO)
    made_up = (*city_sites(cities), *world_sites(pairs, arguments.styles, arguments.hazards))
    buildings = gather(arguments.out, arguments.network, made_up)
    scores = score(buildings)
    of_kind = scores.assign(kind=np.where(scores["kind"] == "city", "city", "world"))
    of_style = scores.assign(kind=scores["style"])
    for name, table in (("by dates", of_kind), ("by hazard", scores), ("by style", of_style)):
        print(f"\n{name}, SYNTHETIC: AUC within a site, and log loss at even shares")
        print(table.pivot_table(index="share", columns=["dates", "kind"], values=["auc", "loss"]).round(3).to_string())
    shares = {dates: best_share(scores, dates) for dates in ("pair", "post")}
    print("best shares:", shares)
    for of, name in (("kind", "hazard"), ("style", "style")):
        sites = left_out_sites(buildings, shares, of)
        if of == "kind":
            store_results(arguments.out, smoke=arguments.smoke, pairs=pairs, cities=cities, means=stored_means(sites))
        print(f"\nwhole decisions with each {name} left out of the measurement, means over sites, SYNTHETIC")
        print(means_of(sites, ["dates", "sites", "decision"]))
        print(means_of(sites, ["dates", "kind", "decision"]))
    print("\nbuildings that the weight-free model does not know, by the network alone, SYNTHETIC")
    print(alone_at_left_out_hazards(buildings).to_string())
    if arguments.write:
        write_card(arguments.network, buildings, shares)


@dataclass(frozen=True)
class Method:
    """What grades buildings from their log-odds (N, 3)."""

    reliability: Reliability

    @classmethod
    def fit(cls, log_odds: Array, data: GradedEvidence, most_information: float = MAX_AT_SITE) -> Method:
        """Reliability of left-out log-odds."""
        site = np.unique(data.group, return_inverse=True)[1]
        return cls(fit_reliability(log_odds, data.grade, site, most_information))

    def rows(self, log_odds: Array, data: GradedEvidence) -> pd.DataFrame:
        """One row a building, with what `scores_of` reads; the share is estimated for each pair."""
        half = self.reliability.probabilities(log_odds)
        adjusted, named = np.empty_like(half), np.zeros(len(half), bool)
        for pair in np.unique(data.group):
            here = data.group == pair
            at_site = fit_to_site(half[here], np.full(here.sum(), ""), {"": self.reliability.site})
            half[here], adjusted[here], named[here] = at_site.even, at_site.probabilities, name_damaged(at_site)
        members = np.ones(half.shape, bool)
        if self.reliability.sets is not None:
            members = self.reliability.sets.members(half)
        grades = Grades.of_sides(adjusted, np.array(self.reliability.thresholds), named, members)
        return pd.DataFrame({
            "truth": data.grade, "grade": grades.numbers, "group": data.group,
            "probability": adjusted[:, MAJOR:].sum(axis=1), "probability_half": half[:, MAJOR:].sum(axis=1),
            "set_held": grades.members[np.arange(len(half)), data.grade], "set_size": grades.members.sum(axis=1),
        })  # fmt: skip


def left_out_rows(
    log_odds: Array,
    data: GradedEvidence,
    kind: NDArray[np.object_],
    world: NDArray[np.bool_],
    most_information: float = MAX_AT_SITE,
) -> pd.DataFrame:
    """Rows of the world's buildings, those of each kind with the reliability of all others."""
    parts = []
    for name in np.unique(kind[world]):
        others, here = kind != name, world & (kind == name)
        method = Method.fit(log_odds[others], data.rows(others), most_information)
        parts.append(method.rows(log_odds[here], data.rows(here)))
        parts[-1].index = np.flatnonzero(here)
    return pd.concat(parts).sort_index()


def model_rows(model: DamageModel, variant: str, data: GradedEvidence, world: NDArray[np.bool_]) -> pd.DataFrame:
    """Rows of the world's buildings by a model as it is."""
    fitted = model.variants[variant]
    log_odds = fitted.standardise(data.evidence[world]) @ fitted.weights.T + fitted.intercepts
    rows = Method(fitted.reliability).rows(log_odds, data.rows(world))
    rows.index = np.flatnonzero(world)
    return rows


if __name__ == "__main__":
    with plain_errors():
        main()
