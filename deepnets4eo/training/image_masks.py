"""Images and masks of the same names in two folders, as the scenes of a recipe: the commonest form of training data.

Takes two folders; returns overrides of a recipe. Refuses files without a partner, and masks whose colours no legend explains.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deepnets4eo.cards import Legend
from deepnets4eo.display import list_and_count
from deepnets4eo.errors import InputError
from deepnets4eo.files import named_path, write_yaml
from deepnets4eo.formats import warn_of_left_out
from deepnets4eo.rasters import Scene
from deepnets4eo.training.mask_legend import (
    Answer,
    MaskContent,
    check_known,
    describe_legend,
    extend_legend,
    legend_of_masks,
    read_masks,
)
from deepnets4eo.training.recipe import DataSection, Recipe

log = logging.getLogger(__name__)

IMAGE = "image"
RASTERS = {".bmp", ".gif", ".img", ".jp2", ".jpeg", ".jpg", ".pix", ".png", ".tif", ".tiff", ".vrt", ".webp"}
# what datasets add to the name that an image and its mask share, such as 17_sat.jpg and 17_mask.png
ADDED = re.compile(
    r"[-_. ](annotation|gt|image|img|label|labels|lbl|manual1|mask|masks|rgb|sat|seg|segmentation)$", re.IGNORECASE
)
MIN_WHOLE_IMAGES = 10  # images from which on whole ones are withheld for validation, instead of blocks of each
MAX_NAMED = 5
MIN_CLASSES = 2


@dataclass(frozen=True)
class ImageMaskFolders:
    """A folder of images and a folder of masks, as data of `train`.

    Parameters
    ----------
    images, masks : Folders of rasters, searched with their subfolders. Files of one name without ending belong together, also `17_sat.jpg` and
        `17_mask.png`.
    answer : question → name of a colour or value that no legend has; None: names are made up, and a given legend must have all

    Examples
    --------
    ```python
    train("unet-resnet34", "runs/own", data=ImageMaskFolders("images", "masks"))
    ```
    """

    images: str | Path
    masks: str | Path
    answer: Answer | None = None

    def pairs(self) -> dict[str, tuple[Path, Path]]:
        """Return name → image and mask, sorted by name. Errors: InputError naming files without a partner."""
        images, masks = _by_name(Path(self.images), "--images"), _by_name(Path(self.masks), "--masks")
        alone = [str(images[name]) for name in images if name not in masks]
        alone += [str(masks[name]) for name in masks if name not in images]
        if alone:
            raise InputError(
                f"{len(alone)} of {len(images)} images and {len(masks)} masks have no partner of the same name: "
                f"{list_and_count(alone, MAX_NAMED)}. Name each mask like its image, as in 17.jpg and 17.png, or move these files away."
            )
        return {name: (images[name], masks[name]) for name in sorted(images)}

    def overrides(self, recipe: Recipe, chosen: set[str], out: Path) -> list[str]:
        """Return values of a recipe with which it learns from these files; a legend that is made is written and logged.

        Errors: InputError (no pairs; masks that cannot be read, or with colours or values that the legend lacks).

        Parameters
        ----------
        recipe : as resolved, so far without data
        chosen : keys whose values the user chose
        out : the run folder; a legend that the recipe does not name is `out` with the ending .legend.yaml, which is used if it exists
        """
        data = recipe.data
        if not isinstance(data, DataSection) or recipe.model.layers != (IMAGE,):
            raise InputError(
                f"images and masks (--images, --masks) are data of recipes with one image and classes of pixels; this one has the task "
                f"{recipe.task}. Choose another, e.g. unet-resnet34, or give --data."
            )
        pairs = self.pairs()
        scenes = [
            {"name": name, IMAGE: str(image), Scene.label_layer: str(mask)} for name, (image, mask) in pairs.items()
        ]
        values = [f"data.scenes={json.dumps(scenes)}"]
        if data.labels_legend is None and data.unknown_labels == "error":
            values.append(
                f"legend={json.dumps(self._legend(recipe, [scene[Scene.label_layer] for scene in scenes], out))}"
            )
        if "data.split" not in chosen and len(pairs) >= MIN_WHOLE_IMAGES:
            log.info("%d images: whole ones are withheld for validation (data.split=scenes).", len(pairs))
            values.append("data.split=scenes")
        return values

    def _legend(self, recipe: Recipe, masks: list[str], out: Path) -> str | Mapping[str, object]:
        """Return the legend for the recipe: as it names it, or the file with the one of the masks."""
        log.info("reading %d masks", len(masks))
        content = read_masks(masks, recipe.data.nodata.get(Scene.label_layer))
        if content.hidden_note is not None:
            if len(content.pixels) < MIN_CLASSES:
                raise InputError(f"the masks contain one class. {content.hidden_note}")
            log.warning("%s", content.hidden_note)
        file = (out := named_path(out)).with_name(f"{out.name}.legend.yaml")
        named: str | Mapping[str, object] = recipe.legend or (str(file) if file.is_file() else "")
        if not named:
            legend = legend_of_masks(content, out.name, self.answer)
            return self._write(legend, content, file)
        legend = Legend.from_dict(named, "the recipe's legend") if isinstance(named, dict) else Legend.load(str(named))
        if not content.unknown_to(legend) or self.answer is None:
            check_known(legend, content, legend.name if isinstance(named, dict) else str(named))
            return named
        return self._write(extend_legend(legend, content, self.answer), content, file)

    def _write(self, legend: Legend, content: MaskContent, file: Path) -> str:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_yaml(file, legend.to_dict())
        log.info("legend of the masks:\n%s", describe_legend(legend, content))
        log.info("It is in %s. For other names or colours edit this file, and train with --overwrite.", file)
        return str(file)


def _by_name(folder: Path, option: str) -> dict[str, Path]:
    """Return the rasters of a folder by their subfolder and name, without ending and what `ADDED` lists. Errors: InputError."""
    if not folder.is_dir():
        raise InputError(f"{option} {folder} is not a folder. Give the folder with the files themselves.")
    rasters: dict[str, Path] = {}
    for path in sorted(folder.resolve().rglob("*")):
        if path.suffix.lower() not in RASTERS or path.name.startswith(".") or not path.is_file():
            continue
        name = "/".join([*path.relative_to(folder.resolve()).parent.parts, ADDED.sub("", path.stem)])
        if name in rasters:
            raise InputError(
                f"{option}: {rasters[name]} and {path} have the same name without its ending. Keep one of them in {folder}."
            )
        rasters[name] = path
    warn_of_left_out(
        folder.resolve(),
        rasters.values(),
        f"Read are {', '.join(sorted(RASTERS))}. Write the others as PNG or GeoTIFF.",
    )
    if not rasters:
        raise InputError(
            f"{option} {folder} has no raster ({', '.join(sorted(RASTERS))}). Give the folder with the files themselves."
        )
    return rasters
