"""An evidence of another package: a file with what it measures, found by its entry point."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from documented import page_module
from refusals import raises_naming

from deepnets4eo import plugins
from deepnets4eo.damage import Settings, Site, assess, opening
from deepnets4eo.damage.evidences import further
from deepnets4eo.damage.site.skill import check_weights
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City

pytestmark = pytest.mark.usefixtures("gathered_once")
example = page_module("evidence", "brightness")
Brightness: Any = example.Brightness


@pytest.fixture
def installed(monkeypatch):
    own = plugins.plugins_of("evidences")
    entry = EntryPoint("brightness", "brightness:brightness_of_job", "deepnets4eo.evidences")
    monkeypatch.setattr(further, "plugins_of", lambda group: own | {"brightness": entry})
    monkeypatch.setattr(further, "load_plugin", lambda one: example.brightness_of_job)


@pytest.fixture(scope="module")
def site():
    city = City(seed=3, size_px=320)
    pre, post = (Layer.open(one.image, grid=one.grid) for one in (city.pre, city.post))
    return pre, post, city.footprints()


def test_an_installed_evidence_takes_part_where_it_is_asked_for(installed, site):
    plain, shown, used = (
        assess(*site, settings=Settings(network=False, workers=1, evidences=named))
        for named in ("", "brightness=0", "brightness=0.6")
    )
    assert "ev_brightness" not in plain.buildings
    assessed = used.buildings["status"] == "assessed"
    assert used.buildings.loc[assessed, "ev_brightness"].between(0, 1).all()
    assert used.buildings.loc[~assessed, ["ev_brightness", "ev_brightness_px"]].isna().all(axis=None)
    assert used.meaning["ev_brightness"] == "mean of POST in the outline, 0–1"
    assert used.parameters["evidence"] == {"brightness": {"weight_in_decision": 0.6}}
    assert [each.message for each in used.findings if each.code == "brightness_used"] == ["Brightness took part with 0.60."]  # fmt: skip
    np.testing.assert_array_equal(shown.buildings["damage_prob"], plain.buildings["damage_prob"])
    assert (used.buildings["damage_prob"] != plain.buildings["damage_prob"]).any()


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("brightnes", r"names brightnes, which no installed package has\. Did you mean 'brightness'\?"),
        ("look", "names look, which no installed package has"),
        ("brightness=much", "has brightness=much; expected NAME, or NAME=WEIGHT"),
        ("brightness=1.5", "has brightness=1.5; expected NAME, or NAME=WEIGHT"),
    ],
)
def test_names_and_weights_that_cannot_be_used_are_refused(installed, named, reason):
    inputs: Any = SimpleNamespace(evidence_files={}, paths={})
    with pytest.raises(InputError, match=reason):
        further.open_further_evidences(inputs, Settings(evidences=named))


def test_an_installation_that_is_older_than_the_code_is_named(monkeypatch):
    monkeypatch.setattr(opening, "plugins_of", lambda group: {})
    with raises_naming(InputError, "make setup"):
        opening.open_evidences(None, Settings())


def test_weights_of_more_than_one_together_are_refused() -> None:
    check_weights([Brightness(0.4), Brightness(0.6)])
    with raises_naming(InputError, "1.10", "1"):
        check_weights([Brightness(0.5), Brightness(0.6)])


def test_columns_that_an_evidence_did_not_measure_are_named(installed, site, monkeypatch):
    def measure(self: Any, site: Site) -> Site:
        return site.with_columns(pd.DataFrame({"ev_brightness": [0.5]}), self.meaning, self.name)

    monkeypatch.setattr(Brightness, "measure", measure)
    with raises_naming(InputError, "1", "ev_brightness"):
        assess(*site, settings=Settings(network=False, workers=1, evidences="brightness"))


class Shown:
    """An evidence without a column that decides: a name, its columns and `measure`."""

    name = "brightness"
    meaning = {"ev_odd": "one everywhere"}

    def measure(self, site: Site) -> Site:
        return site.with_columns(pd.DataFrame({"ev_odd": np.ones(len(site.outlines))}), self.meaning, self.name)


def test_an_evidence_without_a_column_of_its_own_is_shown_and_never_decides(installed, site, monkeypatch):
    monkeypatch.setattr(further, "load_plugin", lambda one: lambda inputs, settings, weight: [Shown()])
    plain, shown = (
        assess(*site, settings=Settings(network=False, workers=1, evidences=named)) for named in ("", "brightness")
    )
    assert (shown.buildings.loc[shown.buildings["status"] == "assessed", "ev_odd"] == 1).all()
    assert shown.parameters["evidence"] == {}
    np.testing.assert_array_equal(shown.buildings["damage_prob"], plain.buildings["damage_prob"])
    with raises_naming(InputError, "the weight 0.3", "--set evidences=brightness."):
        assess(*site, settings=Settings(network=False, workers=1, evidences="brightness=0.3"))


def test_an_evidence_that_cannot_open_what_it_needs_is_named(installed, site, monkeypatch):
    def fails(inputs: Any, settings: Settings, weight: float | None) -> Any:
        raise KeyError("slope")

    monkeypatch.setattr(further, "load_plugin", lambda one: fails)
    with raises_naming(InputError, "the evidence brightness", "slope", "brightness:brightness_of_job"):
        assess(*site, settings=Settings(network=False, workers=1, evidences="brightness"))
