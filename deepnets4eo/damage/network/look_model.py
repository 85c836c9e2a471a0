"""Model of how damaged a building looks compared with its site, in only the post image: features of photographs, and their regression."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from deepnets4eo.arrays import Floats, Geometries
from deepnets4eo.cards import run_path
from deepnets4eo.damage.images.working_grid import make_working_grid
from deepnets4eo.damage.network.look import INPUTS, WIDTHS, LookEncoder
from deepnets4eo.damage.network.pairs import POST, with_bands
from deepnets4eo.damage.network.stretched_images import image_stretches
from deepnets4eo.damage.site.skill import EvidenceCard
from deepnets4eo.damage.site.work import TileWork
from deepnets4eo.errors import Reading, RunError
from deepnets4eo.files import atomic_write, read_yaml, write_yaml
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import RunFolder, Stretch, show_scene
from deepnets4eo.zonal import Outlines

logger = logging.getLogger(__name__)

CARD = "look.yaml"
SMALLEST_SPREAD = 1e-3


@dataclass(frozen=True)
class LookModel:
    """A regression of features that are standardised by site, and the range of features that its fit covers.

    Parameters
    ----------
    weights : (D,) weights of the standardised features
    directions : (K, D), along which the fit's buildings vary most, each of deviation 1
    limit : distance along them that contains 99 % of the fit's buildings
    card : what the score shows about damage, at synthetic hazards that were left out
    """

    weights: Floats
    directions: Floats
    limit: float
    card: EvidenceCard
    shipped: ClassVar[str] = "damage-look"
    min_buildings: ClassVar[int] = 20  # of a site: its mean and deviation are features of few otherwise

    @classmethod
    @Reading.of_source("Is it whole? Copy it again.", RunError)
    def load(cls, model: str | Path = shipped) -> LookModel:
        """Read a model of models/, or a folder. Raises RunError if it cannot be read."""
        from deepnets4eo.segmenters import read_tensors

        folder = run_path(model)
        try:
            numbers = read_yaml(folder / CARD)
            tensors = {name: value.double().numpy() for name, value in read_tensors(RunFolder(folder).weights).items()}
            weights, directions = tensors["weights"], tensors["directions"]
            if weights.ndim != 1 or directions.ndim != 2 or directions.shape[1] != len(weights):
                raise ValueError(f"shapes {weights.shape} and {directions.shape}, expected (D,) and (K, D)")
            if not (np.isfinite(weights).all() and np.isfinite(directions).all()):
                raise ValueError("numbers that are not finite")
            return cls(weights, directions, float(numbers["limit"]), EvidenceCard(**numbers["card"]))
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{folder} is no model of what buildings look like ({error}). Copy it again.") from error

    def check_features(self, source: str) -> None:
        """Refuse (RunError) a model of other features than the encoder measures, before images are read."""
        if len(self.weights) != sum(WIDTHS):
            raise RunError(
                f"{source} weighs {len(self.weights)} features, expected {sum(WIDTHS)}. Copy it again, or train it anew."
            )

    def save(self, folder: Path) -> Path:
        """Write the model into a folder, which `load` reads."""
        import torch
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: torch.from_numpy(getattr(self, name)).float() for name in ("weights", "directions")}
        with atomic_write(RunFolder(folder).weights) as partial:
            save_file(tensors, partial)
        return write_yaml(
            folder / CARD,
            {"limit": round(self.limit, 4), "card": asdict(self.card)},
        )

    def scores(self, features: Floats) -> Floats:
        """Return scores (N,) of features (N, D) of one site; NaN for unknown features, features unlike the fit's, or few buildings."""
        standard = by_site(features)
        with np.errstate(invalid="ignore"):
            far = np.linalg.norm(standard @ self.directions.T, axis=1) > self.limit
        return np.where(far, np.nan, standard @ self.weights)


def by_site(features: Floats) -> Floats:
    """Standardise features (N, D) by the mean and deviation of the site, so that light and sensor matter less; NaN for few buildings."""
    known = np.isfinite(features).all(axis=1)
    if known.sum() < LookModel.min_buildings:
        return np.full(features.shape, np.nan)
    here = features[known]
    out: Floats = (features - here.mean(axis=0)) / (here.std(axis=0) + SMALLEST_SPREAD)
    return out


def look_features(post: Layer, outlines: Geometries, work: TileWork = TileWork()) -> Floats:
    """Return features (N, 496) of outlines (N,) in the CRS of the post image, at the positions of the buildings in it."""
    logger.info("looking at the buildings …")
    working = make_working_grid(None, post, None)
    stretches = image_stretches(INPUTS.layers, None, post)
    return pool_look(working.layers[POST], stretches, working.gsd_m, Outlines.on(outlines, working.grid), work)


def pool_look(
    post: Layer, stretches: Mapping[str, Stretch], gsd_m: float | None, outlines: Outlines, work: TileWork = TileWork()
) -> Floats:
    """Return the features (N, 496) of outlines on the image's own grid."""
    layer = with_bands(post, len(INPUTS.layers[POST].bands))
    return LookEncoder(gsd_m).pool(show_scene(Scene({POST: layer}, post.grid), stretches), outlines, work)
