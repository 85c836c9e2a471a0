"""A fitted scikit-learn estimator in a file, through skops, without pickle.

Indices of trees and support vectors are checked, since compiled code would read foreign memory through wrong ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np

from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import ARCHIVE_ERRORS, atomic_write
from deepnets4eo.formats import check_array_sizes

SCHEMA = "schema.json"
OBJECT, FILE = "__id__", "file"  # keys of the schema: the number of an object, the file with its values

MAX_UNPACKED_BYTES = 8 << 30  # a forest of a thousand deep trees; skops does not compress, so files are as large

# Types that skops does not trust by itself, but which are safe to load here:
TRUSTED: tuple[str, ...] = (
    "sklearn.tree._tree.Tree",  # _check_tree: children and features exist
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",  # _check_predictors: the same
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",  # this and the six below: numbers and NumPy only,
    "sklearn._loss.loss.HalfBinomialLoss",  # and trusted by newer skops itself
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss._loss.CyHalfMultinomialLoss",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.link.Interval",
    "sklearn.calibration._CalibratedClassifier",  # holds an estimator and calibrators; NumPy only
    "sklearn.calibration._SigmoidCalibration",  # two numbers
    "deepnets4eo.baselines.tuned_classifier.Calibrators",  # arrays; NumPy only
    "deepnets4eo.baselines.tuned_classifier.TunedClassifier",  # contains an estimator, which is checked as any other
    "deepnets4eo.baselines.array_estimators.LinearDiscriminant",  # arrays; NumPy only
    "deepnets4eo.baselines.array_estimators.RbfSvm",  # arrays; NumPy only
    "deepnets4eo.baselines.array_estimators.SpectralAngleMapper",  # arrays; NumPy only
    "deepnets4eo.baselines.som.SelfOrganizingMap",  # arrays; NumPy only
)
UNREADABLE = (*ARCHIVE_ERRORS, ImportError)  # what skops raises for damaged files, too


def save_estimator(estimator: Any, path: str | Path) -> Path:
    """Write an estimator through skops, the same bytes for the same estimator.

    Parameters
    ----------
    estimator : fitted, as `build_estimator` makes it
    path : the file, which is replaced

    Returns
    -------
    Path
        The file.
    """
    io = _skops_io()
    with atomic_write(path) as partial:
        io.dump(estimator, partial)
        renumber_skops(partial)
    return Path(path)


def load_estimator(path: str | Path, sizes: tuple[int, int] | None = None) -> Any:
    """Read the estimator that `save_estimator` wrote.

    Parameters
    ----------
    path : the file
    sizes : how many classes the legend has, and how many features the run; by default these are not checked

    Returns
    -------
    Any
        The classifier.

    Raises
    ------
    RunError
        For a file that cannot be read or unpacks to too much, types not in `TRUSTED`, indices outside their arrays, and
        other sizes.
    """
    io, path = _skops_io(), Path(path)
    try:
        check_array_sizes(path, MAX_UNPACKED_BYTES)
        types = io.get_untrusted_types(file=path)
        foreign = sorted(set(types) - set(TRUSTED))
        if foreign:
            raise RunError(f"{path} has types that are not known to be safe: {foreign}. It is not loaded.")
        estimator = io.load(path, trusted=types)
    except RunError:
        raise
    except InputError as error:  # too large; it names the file
        raise RunError(str(error)) from error
    except UNREADABLE as error:
        raise RunError(f"{path} cannot be read: {error}. Copy the run again.") from error
    check_estimator(estimator, path)
    if sizes is not None:
        check_sizes(estimator, path, *sizes)
    return estimator


def check_sizes(estimator: Any, path: Path, num_classes: int, features: int) -> None:
    """Check that an estimator has class indices of a legend, and as many features as its run. Errors: RunError."""
    classes, width = np.asarray(estimator.classes_), getattr(estimator, "n_features_in_", features)
    whole = classes.ndim == 1 and classes.dtype.kind in "iu" and classes.size > 0
    if not whole or classes.min() < 0 or classes.max() >= num_classes or width != features:
        raise RunError(
            f"{path} has the classes {classes.tolist()} and {width} features; the legend has {num_classes} classes and the "
            f"run {features} features. Copy the run again."
        )


def _skops_io() -> Any:
    """skops.io, which imports all modules of scikit-learn; those for torch (3 s), dask and pytest are left out here."""
    import scipy.stats  # noqa: F401  # at its import it looks for tensors where torch is hidden

    hidden = {name: None for name in ("torch", "dask.array", "pytest") if name not in sys.modules}
    sys.modules.update(hidden)  # type: ignore[arg-type]
    try:
        import skops.io

        return skops.io
    finally:
        for name in hidden:
            del sys.modules[name]


def check_estimator(estimator: Any, path: str | Path) -> None:
    """Check the indices of all trees and support vectors in an estimator. Errors: RunError for one outside its array, and
    for methods that are gone."""
    try:
        for part, width in _nested_objects(estimator, None, set()):
            if name := _left_method(part):
                raise RunError(f"{path} holds an estimator with {name}, which is gone. Train the run again.")
            if hasattr(part, "tree_"):
                _check_tree(part, width)
            elif hasattr(part, "_predictors"):
                _check_predictors(part)
            elif hasattr(part, "_n_support"):
                _check_support_vectors(part)
    except RunError:
        raise
    except _InvalidIndexError as error:
        raise RunError(f"{path} {error}. Copy the run again.") from error
    except UNREADABLE as error:
        raise RunError(f"{path} has an estimator with parts missing: {error}. Copy the run again.") from error


def _left_method(part: Any) -> str:
    """Return the recipe option that fitted this part, if the option has been removed and scores would differ; else ""."""
    if not type(part).__module__.startswith("deepnets4eo."):
        return ""
    if type(part).__name__ == "RbfSvm" and getattr(part, "components", None):
        return "name=nystroem_svm"
    return "calibration=isotonic" if getattr(part, "method", "") == "isotonic" else ""


class _InvalidIndexError(Exception):
    """Error that describes what is wrong with a part of an estimator."""


def _nested_objects(
    value: Any, width: int | None, seen: set[tuple[int, int | None]]
) -> Iterator[tuple[Any, int | None]]:
    """Yield all objects within an estimator, each with the number of features that its container checks."""
    if (id(value), width) in seen:  # a tree may be in two forests of different width
        return
    seen.add((id(value), width))
    inner: Iterable[Any] = ()
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list | tuple | set):
        inner = value
    elif isinstance(value, np.ndarray):
        inner = value.ravel() if value.dtype == object else ()
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        yield value, width
        inner = vars(value).values()
        width = getattr(value, "n_features_in_", None) if hasattr(value, "estimators_") else None
    for part in inner:
        yield from _nested_objects(part, width, seen)


def _check_tree(member: Any, width: int | None) -> None:
    """Check member.tree_: forests check the width of their input once, for all their trees."""
    tree = member.tree_
    if tree.n_outputs != 1 or not 0 < tree.node_count <= tree.capacity:  # first: everything else is indexed by these
        raise _InvalidIndexError("has a tree whose nodes have children that do not exist")
    features = min(member.n_features_in_, member.n_features_in_ if width is None else width)
    left, right = tree.children_left.astype(np.int64), tree.children_right.astype(np.int64)
    _check_nodes(left, right, tree.feature, left == -1, features)


def _check_predictors(boosting: Any) -> None:
    if boosting._preprocessor is not None:
        raise _InvalidIndexError("has a boosting of categories, which baselines do not use")
    for predictor in [tree for iteration in boosting._predictors for tree in iteration]:
        nodes = predictor.nodes
        if nodes["is_categorical"].any():
            raise _InvalidIndexError("has a boosting of categories, which baselines do not use")
        left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
        _check_nodes(left, right, nodes["feature_idx"], nodes["is_leaf"] != 0, boosting.n_features_in_)


def _check_nodes(left: Any, right: Any, feature: Any, is_leaf: Any, features: int) -> None:
    """Check that children have higher numbers than their parents and exist, so that every path ends at a leaf."""
    inner = np.flatnonzero(~is_leaf)
    for children in (left[inner], right[inner]):
        if left.size == 0 or not ((children > inner) & (children < left.size)).all():
            raise _InvalidIndexError("has a tree whose nodes have children that do not exist")
    if not ((feature[inner] >= 0) & (feature[inner] < features)).all():
        raise _InvalidIndexError("has a tree with features that do not exist")


def _check_support_vectors(machine: Any) -> None:
    """Check scikit-learn's own SVC, whose compiled code indexes arrays by the numbers per class."""
    counts, classes = np.asarray(machine._n_support), len(machine.classes_)
    vectors, total = np.asarray(machine.support_vectors_), int(np.sum(machine._n_support))
    shapes = {
        "_dual_coef_": (classes - 1, total),
        "support_": (total,),
        "_intercept_": (classes * (classes - 1) // 2,),
        "_n_support": (classes,),
        "support_vectors_": (total, machine.n_features_in_),
    }
    wrong = [name for name, shape in shapes.items() if np.shape(getattr(machine, name)) != shape]
    if wrong or (counts < 0).any() or not np.isfinite(vectors).all() or np.size(machine._probA) not in (0, len(counts)):
        raise _InvalidIndexError(f"has support vectors that do not fit together ({', '.join(wrong) or 'counts'})")


def renumber_skops(path: Path) -> None:
    """Rewrite a skops file in place with its objects numbered in order.

    Equal estimators then make equal files, whatever their memory addresses. Memory: one array of the file."""
    aside = path.with_name(f"{path.name}.stable")
    try:
        with ZipFile(path) as source, ZipFile(aside, "w") as target:
            schema = json.loads(source.read(SCHEMA))
            numbers: dict[int, int] = {}
            files: dict[str, str] = {}
            _renumber(schema, numbers, files)
            for name, new in files.items():
                target.writestr(ZipInfo(new), source.read(name))
            target.writestr(ZipInfo(SCHEMA), json.dumps(schema))
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _renumber(node: Any, numbers: dict[int, int], files: dict[str, str]) -> None:
    """Assign numbers to objects by their order in the schema, and to files, by their old names, in the same way."""
    if isinstance(node, list):
        for item in node:
            _renumber(item, numbers, files)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == OBJECT and isinstance(value, int):
                node[key] = numbers.setdefault(value, len(numbers) + 1)
            elif key == FILE and isinstance(value, str):
                node[key] = files.setdefault(value, f"{len(files) + 1}{Path(value).suffix}")
            else:
                _renumber(value, numbers, files)
