"""A run: one folder that holds all that prediction needs, sealed so that damage is noticed.

Takes a segmenter and a recipe; writes a folder, and reads the segmenter from it. Nothing is ever unpickled.
Refuses folders that are foreign, truncated or changed."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepnets4eo.cards import Legend, run_path
from deepnets4eo.display import Summary, WithSummary, list_names
from deepnets4eo.errors import InputError, LockedError, Reading, RunError
from deepnets4eo.files import read_yaml, write_yaml
from deepnets4eo.formats import offline
from deepnets4eo.jobs import output_lock
from deepnets4eo.plugins import load_plugin, plugins_of
from deepnets4eo.segmenters.checksums import ENCODER, RunFolder, open_sealed, seal, write_recipe
from deepnets4eo.segmenters.history import figure_row, plot_curves, read_log
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.networks import own_network
from deepnets4eo.segmenters.onnx_card import ForeignNetwork
from deepnets4eo.segmenters.onnx_options import OnnxFacts, is_onnx
from deepnets4eo.segmenters.onnx_segmenter import OnnxSegmenter
from deepnets4eo.segmenters.segmenter import NetworkSegmenter, Segmenter
from deepnets4eo.tiling import Tiling

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import nn

# what constructors raise for values of the wrong kind or size in a card, and torch for tensors that it cannot make
UNFIT = (
    InputError, TypeError, KeyError, AttributeError, ValueError, IndexError, ArithmeticError, RuntimeError, MemoryError,
)  # fmt: skip
WAIT_S = 0.2  # between two looks at a run that another process makes
RECORDED = (
    "numpy", "rasterio", "torch", "segmentation-models-pytorch", "scikit-learn", "skops",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class Run(WithSummary):
    """A loaded run.

    Parameters
    ----------
    folder : folder of the run
    segmenter : ready to predict, on the CPU
    recipe : as resolved for training
    card : versions, seed, hashes, and training data
    """

    folder: Path
    segmenter: Segmenter
    recipe: dict[str, Any]
    card: dict[str, Any]

    @property
    def legend(self) -> Legend:
        """Classes it predicts."""
        return self.segmenter.legend

    @property
    def inputs(self) -> InputSpec:
        """Return the inputs that the run expects of a scene."""
        return self.segmenter.inputs

    @property
    def tiling(self) -> Tiling:
        """Return the run's default tiling of a scene."""
        return self.segmenter.tiling

    def plot(self) -> list[Axes]:
        """Draw what the log of the training holds, in a new figure: losses, and scores of the validation.

        Errors: RunError (the folder has no log that can be read).

        Returns
        -------
        Losses and scores by epoch; a line marks the kept epoch where the best one was kept.
        """
        history, notes = read_log(RunFolder(self.folder).log), self.card.get("notes", {})
        row = figure_row()
        plot_curves(row, history, notes.get("best_epoch") if notes.get("kept") == "best" else None)
        return row

    def _summary(self) -> Summary:
        gsd_m = f", {self.inputs.gsd_m:.3g} m/px" if self.inputs.gsd_m is not None else ""
        layers = "; ".join(f"{name} ({list_names(layer.bands)})" for name, layer in self.inputs.layers.items())
        facts = {
            "inputs": f"{layers}{gsd_m}",
            **({"classes": f"{self.legend.name} ({list_names(self.legend.names)})"} if self.legend.classes else {}),
            **({"estimates": str(self.legend.quantity)} if self.legend.quantity else {}),
            "tiles": f"{self.tiling.tile_px} px with a halo of {self.tiling.halo_px} px",
            "seed": str(self.card.get("seed", "unknown")),
        }
        network = self.segmenter.describe().get("network", {})
        model = [str(network[key]) for key in ("name", "encoder") if network.get(key)]
        return Summary(f"Run {self.folder}", {"model": " ".join([self.segmenter.kind, *model])}, facts)


def save_run(
    segmenter: Segmenter,
    folder: str | Path,
    *,
    recipe: Mapping[str, Any] | None = None,
    seed: int = 0,
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Write a run into a folder and return it; the card is last: a folder without one is an unfinished run."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = RunFolder(folder)
    write_yaml(files.legend, segmenter.legend.to_dict())
    recipe_hash = write_recipe(files.recipe, dict(recipe or {}))
    names = [*segmenter.save(folder), files.legend.name, files.recipe.name]
    card = {
        "kind": segmenter.kind,
        "segmenter": segmenter.describe(),
        "inputs": segmenter.inputs.to_dict(),
        "tiling": segmenter.tiling.to_dict(),
        "legend": segmenter.legend.name,
        "recipe_sha256": recipe_hash,
        "seed": seed,
        "versions": versions(),
        "notes": dict(notes or {}),
    }
    seal(folder, card, names)
    return folder


@Reading.of_source("Is it whole? Copy it again.", RunError)
def load_run(folder: str | Path, *, model: nn.Module | None = None, facts: OnnxFacts | None = None) -> Run:
    """Read a run after checking every file against its card.

    Errors: RunError (the folder is no run, is truncated or changed, or needs a network that is not installed).

    Parameters
    ----------
    folder : the folder that training wrote; the name of a model that comes with weights, such as "buildings"; or an ONNX file of others
    model : a module of your own like the one that was trained; the run gets a copy of it with the weights
    facts : what an ONNX file does not state, as `deepnets4eo models add` keeps it next to the file

    Returns
    -------
    The run, whose segmenter is on the CPU.
    """
    if is_onnx(folder):
        return _foreign(Path(folder), facts)
    own = own_network(model) if model is not None else nullcontext()
    with own, offline("a run is restored from its own files alone. Train the run again, so that it holds its weights."):
        return _restore(run_path(folder))


def _foreign(path: Path, facts: OnnxFacts | None) -> Run:
    """Return a network of others as a run. Raises RunError, and InputError if something is unknown."""
    network = ForeignNetwork.open(path, facts)
    segmenter = network.segmenter
    card = {
        "kind": segmenter.kind, "segmenter": segmenter.describe(), "inputs": segmenter.inputs.to_dict(), "tiling": segmenter.tiling.to_dict(),
        "legend": segmenter.legend.to_dict(), "notes": {},
    }  # fmt: skip
    return Run(path, segmenter, {}, card)


def kept_run(folder: Path, make: Callable[[], Segmenter], seed: int = 0) -> Run:
    """Load the run that an interrupted job, or another part of it, left in its scratch folder; else save the segmenter of `make`.

    Waits while another part makes it. Errors: OutputError where nothing can be written there.
    """
    while True:
        with suppress(RunError):
            return load_run(folder)
        try:
            with output_lock(folder):
                with suppress(RunError):  # another part has just made it
                    return load_run(folder)
                return load_run(save_run(make(), folder, seed=seed))
        except LockedError:
            time.sleep(WAIT_S)


def _restore(folder: Path) -> Run:
    card, files = open_sealed(folder), RunFolder(folder)
    kind = segmenter_kind(str(card.get("kind")))
    missing = {"segmenter", "inputs", "tiling"} - card.keys() | {files.legend.name, files.recipe.name} - card[
        "files"
    ].keys()
    if missing:
        raise RunError(f"{folder} has a card without {sorted(missing)}. Train the run again.")
    try:
        legend = Legend.from_dict(read_yaml(files.legend))
        tiling = Tiling.from_dict(card["tiling"])
        recipe = read_yaml(files.recipe) or {}
        has_int8 = kind is NetworkSegmenter and files.int8_weights.name in card["files"]
        restore = NetworkSegmenter.with_int8 if has_int8 else kind.restore
        segmenter = restore(folder, card["segmenter"], InputSpec.from_dict(card["inputs"]), legend, tiling)
    except RunError:
        raise
    except UNFIT as error:
        raise RunError(
            f"{folder} cannot be rebuilt: {error if isinstance(error, InputError) else f'{error!r}.'} Train the run again, or "
            "use it with the version that wrote it."
        ) from error
    if not isinstance(recipe, dict):
        raise RunError(
            f"{files.recipe} holds a {type(recipe).__name__}, expected the sections of a recipe. Copy the run again."
        )
    return Run(folder, segmenter, recipe, card)


def segmenter_kind(name: str) -> Any:
    """Return the class of a kind of segmenter, from the core or a branch. Errors: RunError for a kind that is not installed."""
    if name == NetworkSegmenter.kind:
        return NetworkSegmenter
    if name == OnnxSegmenter.kind:
        return OnnxSegmenter
    kinds = plugins_of("segmenters")
    if name not in kinds and name in plugins_of("point_labellers"):
        raise RunError(
            f"the run labels the points of a cloud (kind {name!r}), not images. Use it with: deepnets4eo label-points CLOUD "
            "--model RUN --out FILE"
        )
    if name == ENCODER:
        raise RunError(
            "the run holds first weights of an encoder, which label nothing. Train from them: deepnets4eo train RECIPE --set "
            "model.encoder_weights=RUN"
        )
    if name not in kinds:
        raise RunError(
            f"the run holds a segmenter of kind {name!r}; this version has {sorted([NetworkSegmenter.kind, *kinds])}. "
            "Update deepnets4eo, or install the package that adds it. Its authors register it by the line "
            f"{name} = MODULE:CLASS under the entry points deepnets4eo.segmenters."
        )
    return load_plugin(kinds[name])


@cache
def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that results depend on."""
    from deepnets4eo.version import __version__

    versions = {"python": platform.python_version(), "deepnets4eo": __version__}
    for name in RECORDED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
