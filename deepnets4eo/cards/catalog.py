"""Finds what comes with the toolbox by name: recipes (models/) and cards (datasets/), in the checkout or the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.plugins import plugins_of

CATALOGUES = "catalogues"  # a card of many, among those of datasets
PACKAGE = Path(__file__).resolve().parents[1]


class CardKind(Enum):
    """A kind of cards that come with the toolbox, one YAML file per name; the values are their folders."""

    DATASET = "datasets"
    LEGEND = "datasets/legends"
    EMBEDDING = "datasets/embeddings"

    @property
    def names(self) -> list[str]:
        """Return the names of the cards."""
        return sorted(card.stem for card in _root(self.value).glob("*.yaml") if card.stem != CATALOGUES)

    def path(self, name: str | Path) -> Path:
        """Return the card (YAML file) of a name; an existing file is returned unchanged. Raises InputError."""
        kind, verb = LISTED_BY[self]
        if Path(name).suffix in {".yaml", ".yml"}:
            if not Path(name).is_file():
                raise InputError(f"{name} does not exist. Check the path, or name a {kind}: {', '.join(self.names)}.")
            return Path(name)
        return _root(self.value) / f"{_check_name(str(name), self.names, kind, verb)}.yaml"


LISTED_BY = {
    CardKind.DATASET: ("dataset", "deepnets4eo datasets"),
    CardKind.LEGEND: ("legend", "deepnets4eo datasets --legends"),
    CardKind.EMBEDDING: ("card of embeddings", "deepnets4eo datasets"),
}  # what a message calls a card, and the verb that lists them


@dataclass(frozen=True)
class ShippedModel:
    """A model that comes with the toolbox, by the name of its folder of models/, such as "baselines/hog-svm"."""

    name: str

    @staticmethod
    def names() -> list[str]:
        """Return the names of the models that come with a recipe or ready weights."""
        return list(_recipes(_root("models")))

    @property
    def folder(self) -> Path:
        """Return the folder, whatever files the current folder contains. Raises InputError for an unknown name."""
        return _root("models") / _check_name(self.name, self.names(), "model", "deepnets4eo models")

    @property
    def about(self) -> str:
        """Return a one-line description: the first comment of the recipe, else the heading of the card."""
        for file in (self.folder / "recipe.yaml", self.folder / "card.md"):
            line = file.read_text(encoding="utf-8").partition("\n")[0] if file.is_file() else ""
            if line.startswith("# ") and not line.startswith("# resolved recipe"):
                return line.removeprefix("# ").strip()
        return ""

    @property
    def has_weights(self) -> bool:
        """Return whether the model is trained: it is a run, or coefficients, and can be used without training."""
        return any(self.folder.glob("weights.*")) or not (self.folder / "recipe.yaml").is_file()


@cache
def _recipes(root: Path) -> list[str]:
    files = (file for file in root.rglob("*") if file.name in {"recipe.yaml", "card.md"})
    return sorted({file.parent.relative_to(root).as_posix() for file in files})


def model_path(name: str | Path) -> Path:
    """Return the folder of a model by its name; an existing folder of another name is returned unchanged. Raises the errors of `is_shipped`."""
    return Path(name) if not is_shipped(name) and Path(name).is_dir() else ShippedModel(str(name)).folder


def is_shipped(name: str | Path, names: Sequence[str] | None = None) -> bool:
    """Return whether this name comes with the toolbox, by default as a model; InputError if it is also a path here."""
    if str(name) not in (ShippedModel.names() if names is None else names):
        return False
    if Path(name).exists():
        raise InputError(
            f'"{name}" comes with the toolbox, and is in this folder as well: {Path(name).absolute()}. Write ./{name} for the one here; '
            "for the one of the toolbox, rename it or work in another folder."
        )
    return True


def run_path(name: str | Path) -> Path:
    """Return the folder of a run; the name of a model that comes with weights means its folder. Raises the errors of `is_shipped`."""
    return ShippedModel(str(name)).folder if is_shipped(name) else Path(name)


def recipe_path(name: str | Path) -> Path:
    """Return the recipe (YAML) of a model's name; another file, or folder with recipe.yaml, is used unchanged."""
    if not is_shipped(name) and Path(name).is_file():
        return Path(name)
    path = model_path(name) / "recipe.yaml"
    if not path.is_file():
        if Path(name).is_dir() and str(name) not in ShippedModel.names():
            raise InputError(
                f"{name} is a folder without recipe.yaml. The recipe comes first, the data are named by an option: deepnets4eo train RECIPE "
                f"--data {name} …"
            )
        raise InputError(f"{path.parent} has no recipe.yaml: this model is used as it is. Choose one with a recipe.")
    return path


def catalogues_path() -> Path:
    """Return the card (YAML file) of open STAC catalogues."""
    return _root("datasets") / f"{CATALOGUES}.yaml"


def _root(folder: str) -> Path:
    """Return the folder of the cards: inside the package of a wheel, next to the package of a checkout."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def _check_name(name: str, names: Sequence[str], kind: str, verb: str) -> str:
    if name in names:
        return name
    if kind == "model" and name in plugins_of("networks"):
        raise InputError(
            f'"{name}" is a network, not a model: a recipe trains it, e.g. "deepnets4eo train unet-resnet34 --set '
            f'model.network={name}" ("{verb}" lists the recipes).'
        )
    hint = name_hint(name, names, "")
    raise InputError(
        f'There is no {kind} "{name}". {hint}{" " * bool(hint)}Known: {", ".join(names) or "none"} ("{verb}" lists them).'
    )
