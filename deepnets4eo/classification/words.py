"""Images labelled by words: the towers of images and of texts of a CLIP in the format of open_clip, from a local folder.

Nothing is learnt: each class is described in words, and an image gets the one whose embedding is most like its own. Radford et al. 2021.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.classification.images import ImageList, read_pixels
from deepnets4eo.classification.labelling import AT_ONCE, write_probabilities
from deepnets4eo.classification.readers import ImageData, list_unlabelled
from deepnets4eo.errors import InputError
from deepnets4eo.files import check_overwrite, read_json
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.rasters import COLOURS, spectral_bands

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # as published
TEMPLATES = ("a satellite image of {}.", "an aerial photo of {}.", "a photo of {} from above.")
DARK, BRIGHT = 1, 99  # percentiles of images that are no 8-bit pictures, shown as black and white


@dataclass(frozen=True)
class ImageTextModel:
    """Two towers with embeddings of one space.

    Parameters
    ----------
    network : with `encode_image`, `encode_text` and `logit_scale`
    tokens : texts → (N, L)
    input_px : side of the images that the tower takes
    mean, std : of red, green and blue, 0 to 1, that it was trained with
    """

    network: Any
    tokens: Callable[[list[str]], Tensor]
    input_px: int
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD

    def image_features(self, images: Tensor) -> Tensor:
        """Embeddings (N, D) of length 1 of the middle squares of images (N, 3, h, w), red, green and blue from 0 to 1."""
        import torch
        import torch.nn.functional as F

        height, width = images.shape[2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = images[:, :, top : top + side, left : left + side]
        sides = (self.input_px, self.input_px)
        resized = F.interpolate(square, sides, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        mean, std = (torch.tensor(values, dtype=resized.dtype)[:, None, None] for values in (self.mean, self.std))
        return F.normalize(self.network.encode_image((resized - mean) / std), dim=1)

    def text_features(self, classes: Sequence[str], templates: Sequence[str] = TEMPLATES) -> Tensor:
        """Return embeddings (K, D) of length 1 of classes in words, each the mean over the templates, whose {} is replaced by the class."""
        import torch
        import torch.nn.functional as F

        with torch.no_grad():
            of_classes = [
                F.normalize(
                    self.network.encode_text(self.tokens([template.format(name) for template in templates])), dim=1
                )
                for name in classes
            ]
            return F.normalize(torch.stack([vectors.mean(dim=0) for vectors in of_classes]), dim=1)

    @property
    def scale(self) -> float:
        """Return the factor that multiplies cosines before the softmax."""
        return float(self.network.logit_scale.exp())


@name_missing_extra()
def open_image_text_model(folder: str | Path) -> ImageTextModel:
    """Open the towers of a folder as open_clip publishes them: `open_clip_config.json` and `open_clip_model.safetensors`.

    Errors: MissingExtraError (extra `clip`); InputError (a file is missing or is of another network, or words are cut by a library of others).

    Parameters
    ----------
    folder : on this computer; nothing is downloaded

    Returns
    -------
    ImageTextModel

    Examples
    --------
    ```python
    model = open_image_text_model("CLIP-ViT-B-32-laion2B-s34B-b79K")
    label_by_words(model, ["photos"], ["forest", "a river", "houses"], "labels.csv")
    ```
    """
    from open_clip import CLIP, SimpleTokenizer

    from deepnets4eo.segmenters import load_as_named

    folder = Path(folder)
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder} has no {' and no '.join(missing)}. Give the folder of a CLIP as open_clip publishes it."
        )
    config = read_json(folder / CONFIG)
    structure, preparation = config.get("model_cfg", config), config.get("preprocess_cfg", {})
    text, vision = structure.get("text_cfg", {}), structure.get("vision_cfg", {})
    if structure.get("custom_text") or any(name.startswith("hf_") for name in text) or not (text and vision):
        raise InputError(
            f"{folder / CONFIG} describes no CLIP with open_clip's own words and transformer of texts. Give one that has both, such as ViT-B-32."
        )
    network = CLIP(**structure | {"vision_cfg": vision | {"timm_model_pretrained": False}})
    load_as_named(network, folder / WEIGHTS)
    side = vision.get("image_size", 224)
    return ImageTextModel(
        network,
        SimpleTokenizer(context_length=text.get("context_length", 77)),
        side if isinstance(side, int) else int(side[0]),
        tuple(preparation.get("mean", CLIP_MEAN)),
        tuple(preparation.get("std", CLIP_STD)),
    )


def classify_by_words(
    model: ImageTextModel, images: ImageList, classes: Sequence[str] | Mapping[str, str], *,
    templates: Sequence[str] = TEMPLATES, num_workers: int = 2,
) -> NDArray[np.float32]:  # fmt: skip
    """Compute probabilities (N, K) of classes that are described in words; the probabilities of an image sum to 1.

    Raises InputError (images without red, green and blue; fewer than two classes).

    Parameters
    ----------
    model : two towers
    images : of 8-bit colours, or of other values, whose percentiles 1 and 99 over all images become black and white
    classes : names, or name → its description in words
    templates : sentences with {} in place of a class
    num_workers : threads that read ahead

    Returns
    -------
    (N, K) float32
    """
    import torch

    if len(classes) < 2:
        raise InputError(f"{len(classes)} classes were named; expected two or more, one of which an image gets.")
    pixels = _colours(images, read_pixels(images, memory_bytes=np.inf, folder=Path(), workers=num_workers))
    described = list(classes.values()) if isinstance(classes, Mapping) else list(classes)
    texts = model.text_features(described, templates)
    parts = []
    with torch.no_grad():
        for part in np.split(pixels, range(AT_ONCE, len(pixels), AT_ONCE)):
            features = model.image_features(torch.from_numpy(part))
            parts.append((model.scale * features @ texts.T).softmax(dim=1).numpy())
    return np.concatenate(parts)


def label_by_words(
    model: ImageTextModel, sources: Sequence[str | Path], classes: Sequence[str] | Mapping[str, str], out: str | Path, *,
    templates: Sequence[str] = TEMPLATES, overwrite: bool = False,
) -> int:  # fmt: skip
    """Label whole images by words, and write the table of `label_images`.

    Errors: InputError (as `classify_by_words`; images that cannot be read); OutputError (the table exists, or cannot be written).

    Parameters
    ----------
    model, classes, templates : as for `classify_by_words`
    sources : folders, tables or archives of images; labels in them are not read
    out : the table (.csv)
    overwrite : replace a table that exists

    Returns
    -------
    Number of images.
    """
    check_overwrite(Path(out), overwrite=overwrite)
    images = list_unlabelled(ImageData(folders=tuple(map(str, sources))))
    probabilities = classify_by_words(model, images, classes, templates=templates)
    chosen = np.eye(len(classes), dtype=bool)[probabilities.argmax(axis=1)]
    return write_probabilities(out, images.names, list(classes), probabilities, chosen)


def _colours(images: ImageList, pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Red, green and blue (N, 3, h, w) from 0 to 1; pixels without data are black."""
    names = [name for name, _ in spectral_bands(images.bands)]
    wanted = [name for name, _ in spectral_bands(COLOURS)]
    unnamed = len(names) == len(wanted) and all(band.startswith("band_") for band in images.bands)
    if not unnamed and not set(wanted) <= set(names):
        raise InputError(
            f"{images.names[0]} has the bands {', '.join(images.bands)}; words are compared with red, green and blue. Name the bands, or give pictures."
        )
    seen = pixels if unnamed else pixels[:, [names.index(name) for name in wanted]]
    if seen.dtype == np.uint8:
        return seen.astype(np.float32) / np.float32(255)
    seen = seen.astype(np.float32)
    low, high = np.nanpercentile(seen[:, :, ::4, ::4], (DARK, BRIGHT)).tolist()
    log.info("the images are no 8-bit pictures: %.4g becomes black, %.4g white", low, high)
    stretched = np.clip((seen - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
    return np.asarray(np.nan_to_num(stretched), np.float32)
