"""report.html of a change map: the page that all maps share, with polygons of change as its objects and the scores as an overlay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.addresses import file_name_of
from deepnets4eo.change.areas import CHANGE as CHANGED
from deepnets4eo.change.classical.detector import DateLayers
from deepnets4eo.ground_area import SQUARE_METRES
from deepnets4eo.maps import Drawn, Overlay, RegionPage, page_language, pairs_of, region_kind
from deepnets4eo.outputs import Headline, Language, Phrase, Quantity, bar_of
from deepnets4eo.outputs.map_page import CLOUD_COLOUR
from deepnets4eo.rasters import LabelMask, Layer

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.change.pair import ChangePair

COLOURS = (
    (230, 60, 40),
    (240, 160, 20),
    (30, 130, 220),
    (30, 160, 110),
    (200, 100, 170),
    (110, 190, 240),
    (235, 220, 70),
)
OTHER = (150, 150, 150)
DOUBTS = (
    ("Like clouds at one date", CLOUD_COLOUR),
    ("Dark at one date only", (150, 90, 230)),
)  # by band of the doubtful ground
SUBJECT = "Change map"  # of titles
CHANGE = region_kind(
    SUBJECT, "change", "This place and what changed there are made up.",
    "No region of the minimum size or larger changed beyond the threshold. Smaller changes, and those whose pixels look alike at both dates, are not "
    "listed: an empty list is no proof that nothing changed. Lay the scores over the images.",
)  # fmt: skip
CAVEATS = (
    "Images are averaged down where the page holds no detail; change.tif, score.tif and change.gpkg hold the full resolution.",
    "Scores of methods without training rank pixels; they are no calibrated probabilities.",
    "The interval of the changed area comes from drawing blocks of the scene at random many times; it says nothing about errors of the map.",
)


def change_page(opened: ChangePair, drawn: Drawn, summary: dict[str, Any], language: Language = "en") -> RegionPage:
    """Return the content of the page of a change map."""
    classes, numbers = _classes(drawn.polygons)
    images = {role: opened.scene.layers[name] for role, name in (("pre", DateLayers.pre), ("post", DateLayers.post))}
    sources = {role: summary[role] for role in images}
    return RegionPage(
        CHANGE,
        "Change",
        "Score",
        _headline(summary["area"], language),
        _facts(summary, language),
        CAVEATS,
        classes,
        numbers,
        images,
        sources,
        _overlays(opened, drawn, summary["area"]),
        page_language(language),
    )


def _overlays(opened: ChangePair, drawn: Drawn, area: dict[str, Any]) -> list[Overlay]:
    """Return ground that is not compared, and what clouds and shadows make doubtful, which the page opens with if its first lines state it."""
    labels = Layer(LabelMask(drawn.labels, CHANGED))
    overlays = [Overlay("", labels, unknown="Not compared", is_unknown_visible=True)]
    if opened.doubt is not None:
        in_doubt = Quantity.find(area, "changed_in_doubt")
        is_visible = in_doubt is not None and in_doubt.value > 0
        for band, (title, colour) in zip(opened.doubt.bands, DOUBTS, strict=True):
            overlays.append(Overlay(title, opened.doubt.subset([band]), colour=colour, is_visible=is_visible))
    return overlays


def _classes(polygons: gpd.GeoDataFrame) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Key, title, colour, count and area of each class, and the class number of each polygon.

    Classes are transitions from → to, the largest first, where these are known; those beyond the colours are one class.
    """
    areas = polygons["area_m2"].to_numpy(float) / SQUARE_METRES
    titles, colours, numbers = ["Change"], list(COLOURS), np.zeros(len(polygons), np.intp)
    if "from" in polygons and len(polygons):
        pairs, pair = pairs_of(polygons)
        by_area = np.argsort(-np.bincount(pair, areas, len(pairs)), kind="stable")
        class_index = np.empty(len(pairs), np.intp)
        class_index[by_area] = np.minimum(np.arange(len(pairs)), len(COLOURS))
        numbers = class_index[pair]
        titles = [" → ".join(name or "–" for name in pairs[number]) for number in by_area[: len(COLOURS)]]
        if len(pairs) > len(COLOURS):
            titles, colours = [*titles, "other change"], [*COLOURS, OTHER]
    counts, sums = np.bincount(numbers, minlength=len(titles)), np.bincount(numbers, areas, len(titles))
    entries = zip(titles, colours, counts.tolist(), sums.tolist(), strict=False)
    classes = [
        {"key": f"class-{number}", "title": title, "color": list(colour), "count": count, "area_ha": area}
        for number, (title, colour, count, area) in enumerate(entries)
    ]
    return classes, numbers


def headline(summary: dict[str, Any]) -> str:
    """Return the changed area in one line, with its interval if it has one, and what the interval does not include."""
    area = summary["area"]
    changed, doubt = Quantity.read(area, "changed"), _in_doubt(area)
    limit = "" if changed.interval is None else "; the range does not include errors of the map"
    where = "under clouds or dark at one date only"
    if doubt is None:
        return f"{changed.text()} changed{limit}"
    if _is_unknown(changed, doubt):
        looks = f"{doubt.text()} of the {changed.value_text()} that look changed are {where}"
        return f"It is not known how much changed: {changed.interval_text()} are possible; {looks}{limit}"
    return f"{changed.text()} changed, of which {doubt.text()} {where}: not known{limit}"


def _headline(area: dict[str, Any], language: Language) -> Headline:
    seen, changed, doubt = Quantity.read(area, "seen"), Quantity.read(area, "changed"), _in_doubt(area)
    if not seen.value:
        return Headline(Phrase("number_unknown").text(language), Phrase("nothing_compared").text(language))
    looks, whole, in_doubt = (
        None if quantity is None else Phrase.verbatim(quantity.value_text(language))
        for quantity in (changed, seen, doubt)
    )
    bar = bar_of(changed, seen, language)
    if doubt is not None and bar is not None and _is_unknown(changed, doubt):
        sentence = Phrase("change_may_be", {"seen": whole})
        limit = Phrase("change_limit_in_doubt", {"doubt": in_doubt, "changed": looks})
        number, bar = changed.interval_text(language), replace(bar, value=None)
    else:
        sentence = Phrase("change_is", {"share": area["changed_share"], "seen": whole})
        limit, number = Phrase("change_limit", {"doubt": in_doubt}), changed.value_text(language)
    return Headline(number, sentence.text(language), limit.text(language), bar)


def _in_doubt(area: dict[str, Any]) -> Quantity | None:
    """Return how much of the changed area of a summary is not known; None if all of it is known."""
    doubt = Quantity.find(area, "changed_in_doubt")
    return doubt if doubt is not None and doubt.value else None


def _is_unknown(changed: Quantity, doubt: Quantity) -> bool:
    """Return whether the changed area is not stated: more of it is in doubt than not."""
    return changed.interval is not None and doubt.value > changed.value - doubt.value


def _facts(summary: dict[str, Any], language: Language) -> list[tuple[str, str]]:
    area = summary["area"]
    changed, seen, clouds = Quantity.read(area, "changed"), Quantity.read(area, "seen"), summary.get("clouds")
    share = Phrase("share_of_area", {"share": area["changed_share"], "area": Phrase.verbatim(seen.text(language))})
    doubt = _in_doubt(area)
    in_doubt = None if doubt is None else {"doubt": Phrase.verbatim(doubt.text(language))}
    phrases = {
        "Share of what both images show": share if seen.value else Phrase("nothing_compared"),
        "Not looked at under clouds": None if clouds is None else _clouds(clouds, language),
        "Not known": None if in_doubt is None else Phrase("changed_in_doubt", in_doubt),
        "Polygons": _count(summary["polygons"], language),
        "Method": Phrase(
            "method_refined" if summary["refined"] else "method_with_threshold",
            {"method": _method(summary), "threshold": summary["threshold"]},
        ),
    }
    facts = [(label, phrase.text(language)) for label, phrase in phrases.items() if phrase is not None]
    unknown = doubt is not None and _is_unknown(changed, doubt)
    return [("Changed", changed.interval_text(language) if unknown else changed.text(language)), *facts]


def _method(summary: dict[str, Any]) -> Any:
    """Return the method; a run is named without its folders."""
    method = str(summary["method"])
    if not method.startswith("run "):
        return Phrase.verbatim(method)
    return Phrase("method_of_run", {"name": Phrase.verbatim(file_name_of(method.removeprefix("run ")))})


def _clouds(clouds: dict[str, Any], language: Language) -> Phrase:
    either = Quantity.read(clouds, "either")
    layers = clouds[f"by_layer_{either.unit}"]
    by_date = {
        name: Phrase.verbatim(replace(either, value=layers[layer]).text(language))
        for name, layer in (("pre", DateLayers.pre), ("post", DateLayers.post))
    }
    values = {"either": Phrase.verbatim(either.text(language)), "share": clouds["share"], **by_date}
    return Phrase("clouds_by_date", values)


def _count(polygons: dict[str, Any], language: Language) -> Phrase:
    """Return the number of polygons, and their minimum area if there is one."""
    minimum, number = Quantity.read(polygons, "min_area"), polygons["count"]
    if not minimum.value:
        return Phrase("number_of_polygons", {"number": number})
    return Phrase("polygons_of_size", {"number": number, "least": Phrase.verbatim(minimum.value_text(language))})
