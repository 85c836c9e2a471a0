"""Files of estimators: what is loaded is what was saved, and what would lead outside its arrays is not loaded."""

import builtins
import json
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from refusals import raises_naming
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier as Forest,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from deepnets4eo.baselines import EstimatorOptions, build_estimator, estimator_file, load_estimator, save_estimator
from deepnets4eo.errors import RunError

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(120, 5)).astype(np.float32)
PLACES = (VECTORS[:, 0] > 0).astype(np.uint8) + (VECTORS[:, 1] > 1)


def forest(width=5):
    return Forest(3, random_state=0).fit(VECTORS[:, :width], PLACES)


def change_node(tree, place=0, **values):
    """Write values into a node of a scikit-learn tree."""
    state = tree.__getstate__()
    for key, value in values.items():
        state["nodes"][key][place] = value
    tree.__setstate__(state)


def boosting():
    return HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5).fit(VECTORS, PLACES)


@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeClassifier(),
        make_pipeline(StandardScaler(), Forest(3)),
        GradientBoostingClassifier(n_estimators=3),
        BaggingClassifier(max_features=0.6, n_estimators=4),
        HistGradientBoostingClassifier(max_iter=4),
        SVC(),
        KNeighborsClassifier(algorithm="brute"),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_scikit_learns_own_estimators_come_back_with_the_same_bits(estimator, tmp_path):
    loaded = load_estimator(save_estimator(estimator.fit(VECTORS, PLACES), tmp_path / "estimator.skops"))
    np.testing.assert_array_equal(loaded.predict(VECTORS), estimator.predict(VECTORS))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"left_child": 10**6}, "children that do not exist"),
        ({"left_child": -2}, "children that do not exist"),
        ({"left_child": 0}, "children that do not exist"),  # round in a circle
        ({"right_child": -1}, "children that do not exist"),
        ({"feature": 99}, "features that do not exist"),
        ({"feature": -3}, "features that do not exist"),
    ],
)
@pytest.mark.parametrize("where", ["forest", "pipeline", "tuned", "gradient boosting"])
def test_trees_that_point_outside_themselves_are_not_loaded(tmp_path, where, values, message):
    estimator = {
        "forest": forest,
        "pipeline": lambda: make_pipeline(StandardScaler(), Forest(3)).fit(VECTORS, PLACES),
        "tuned": lambda: build_estimator(EstimatorOptions(name="extra_trees", trees=3)).fit(VECTORS, PLACES),
        "gradient boosting": lambda: GradientBoostingClassifier(n_estimators=2).fit(VECTORS, PLACES),
    }[where]()
    inner = {"pipeline": lambda: estimator[-1], "tuned": lambda: estimator.estimator_[-1]}.get(
        where, lambda: estimator
    )()
    change_node(np.ravel(inner.estimators_)[-1].tree_, **values)
    with pytest.raises(RunError, match=message):
        load_estimator(save_estimator(estimator, tmp_path / "estimator.skops"))


def test_a_wider_tree_in_a_narrow_forest_is_not_loaded(tmp_path):
    """The forest looks at the width of what it gets once; its trees would read beyond it."""
    narrow = forest(2)
    narrow.estimators_[1] = forest(5).estimators_[1]
    change_node(narrow.estimators_[1].tree_, feature=4)
    with pytest.raises(RunError, match="features that do not exist"):
        load_estimator(save_estimator(narrow, tmp_path / "estimator.skops"))
    shared = make_pipeline(BaggingClassifier(narrow.estimators_[1], n_estimators=1).fit(VECTORS, PLACES), narrow)
    shared[0].estimators_[0] = narrow.estimators_[1]  # sound where it is found first
    with pytest.raises(RunError, match="features that do not exist"):
        load_estimator(save_estimator(shared, tmp_path / "estimator.skops"))


@pytest.mark.parametrize("count", [-7, 0, 1])
def test_a_tree_that_miscounts_its_nodes_is_not_loaded(tmp_path, count):
    path = save_estimator(DecisionTreeClassifier().fit(VECTORS, PLACES), tmp_path / "estimator.skops")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts["schema.json"])
    tree = schema["content"]["content"]["tree_"]
    tree["content"]["content"]["node_count"] = {
        "__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": str(count), "is_json": True,
    }  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (parts | {"schema.json": json.dumps(schema).encode()}).items():
            archive.writestr(name, content)
    with pytest.raises(RunError, match="children that do not exist"):
        load_estimator(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("left", 10**6, "children that do not exist"),
        ("right", 0, "children that do not exist"),
        ("feature_idx", 5, "features that do not exist"),
        ("feature_idx", -1, "features that do not exist"),
        ("is_categorical", 1, "boosting of categories"),
    ],
)
def test_boosted_trees_that_point_outside_themselves_are_not_loaded(tmp_path, key, value, message):
    estimator = boosting()
    estimator._predictors[1][2].nodes[key][0] = value
    with pytest.raises(RunError, match=message):
        load_estimator(save_estimator(estimator, tmp_path / "estimator.skops"))


def test_boosted_trees_without_nodes_are_not_loaded(tmp_path):
    estimator = boosting()
    estimator._predictors[0][0].nodes = estimator._predictors[0][0].nodes[:0]
    with pytest.raises(RunError, match="children that do not exist"):
        load_estimator(save_estimator(estimator, tmp_path / "estimator.skops"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_n_support", np.array([500, -460, 3], np.int32)),
        ("_n_support", np.array([1, 1], np.int32)),
        ("_dual_coef_", np.zeros((1, 2))),
        ("support_", np.zeros(2, np.int32)),
        ("_intercept_", np.zeros(1)),
    ],
)
def test_support_vectors_that_do_not_fit_together_are_not_loaded(tmp_path, name, value):
    machine = SVC().fit(VECTORS, PLACES)
    setattr(machine, name, value)
    with pytest.raises(RunError, match="support vectors that do not fit together"):
        load_estimator(save_estimator(machine, tmp_path / "estimator.skops"))


def test_estimators_with_parts_missing_are_not_loaded(tmp_path):
    estimator = boosting()
    del estimator.n_features_in_
    with pytest.raises(RunError, match="parts missing"):
        load_estimator(save_estimator(estimator, tmp_path / "estimator.skops"))


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
def test_types_that_cannot_be_looked_into_are_not_loaded(tmp_path, algorithm):
    estimator = KNeighborsClassifier(algorithm=algorithm).fit(VECTORS, PLACES)
    with raises_naming(RunError, "sklearn.neighbors"):
        load_estimator(save_estimator(estimator, tmp_path / "estimator.skops"))


def test_estimators_of_unknown_types_are_not_loaded(tmp_path):
    class Foreign(LogisticRegression):
        """A type that skops cannot know."""

    Foreign.__module__, Foreign.__qualname__ = "foreign", "Foreign"
    path = save_estimator(Foreign().fit(VECTORS, PLACES), tmp_path / "estimator.skops")
    with raises_naming(RunError, "foreign.Foreign"):
        load_estimator(path)


def test_files_that_are_damaged_foreign_or_absent_are_refused(tmp_path):
    path = save_estimator(forest(), tmp_path / "estimator.skops")
    content = path.read_bytes()
    for damaged in (b"", b"no zip", content[: len(content) // 2], content[:-200]):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match="cannot be read"):
            load_estimator(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", "[1, 2]")
    with pytest.raises(RunError, match="cannot be read"):
        load_estimator(path)
    with pytest.raises(RunError, match="cannot be read"):
        load_estimator(tmp_path / "absent.skops")


def test_changed_bytes_are_refused_or_give_an_estimator_and_never_crash(tmp_path):
    path = save_estimator(forest(), tmp_path / "estimator.skops")
    content = path.read_bytes()
    refused = 0
    for place in np.random.default_rng(0).integers(0, len(content), 60):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            load_estimator(path).predict(VECTORS)
        except RunError:
            refused += 1
    assert refused > 0


def of_landmarks(estimator):
    estimator.estimator_.named_steps["classify"].components = 500


def by_isotonic_curves(estimator):
    estimator.calibrators_.method = "isotonic"


@pytest.mark.parametrize(("change", "method"), [(of_landmarks, "nystroem_svm"), (by_isotonic_curves, "isotonic")])
def test_methods_that_are_gone_are_not_scored_by_another_rule(change, method, tmp_path):
    estimator = build_estimator(EstimatorOptions(name="rbf_svm")).fit(VECTORS, PLACES)
    change(estimator)
    path = save_estimator(estimator, tmp_path / "estimator.skops")
    with raises_naming(RunError, method):
        load_estimator(path)


@pytest.mark.parametrize("loaded", [False, True])
def test_an_estimator_is_written_without_loading_torch(monkeypatch, loaded):
    """skops asks scikit-learn for all its modules, also those that import torch, which takes seconds."""
    torch = SimpleNamespace()
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    if loaded:
        monkeypatch.setitem(sys.modules, "torch", torch)
    seen, usual = [], builtins.__import__

    def imported(name, *rest, **more):
        if name != "skops.io":
            return usual(name, *rest, **more)
        seen.append(sys.modules.get("torch", "absent"))
        return SimpleNamespace(io=None)

    monkeypatch.setattr(builtins, "__import__", imported)
    estimator_file._skops_io()
    after = sys.modules.get("torch", "absent")
    monkeypatch.undo()
    assert seen == [torch if loaded else None]
    assert after == (torch if loaded else "absent")
