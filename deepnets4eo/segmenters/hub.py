"""A run's network in the layout of Hugging Face: README.md with metadata, config.json, model.safetensors; and a STAC item.

Takes a run or such a folder on this computer; writes the other. Nothing goes online.
Refuses runs that hold more than a network, and folders that are truncated or of another program."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError, OutputError, RunError
from deepnets4eo.files import atomic_write, read_json, sha256, write_json, write_text, write_yaml
from deepnets4eo.segmenters.checksums import WEIGHTS, seal
from deepnets4eo.segmenters.run import LEGEND, RECIPE, Run, load_run, write_recipe

CONFIG, MODEL, README, ITEM = "config.json", "model.safetensors", "README.md", "item.json"
MLM = "https://stac-extensions.github.io/mlm/v1.5.0/schema.json"
CARD_KEYS = ("kind", "segmenter", "inputs", "tiling", "recipe_sha256", "seed", "versions", "notes")
PARTS = {*CARD_KEYS, "legend", "recipe", "weights_sha256"}
HEAD = """---
library_name: deepnets4eo
pipeline_tag: image-segmentation
tags:
- remote-sensing
- earth-observation
- semantic-segmentation
---
"""


def save_hub_folder(run: Run | str | Path, folder: str | Path) -> Path:
    """Write a run as a folder that can be uploaded to Hugging Face as a model, with a STAC item of it (`item.json`, extension MLM).

    Parameters
    ----------
    run : a run, or its folder
    folder : a new or empty folder; add `license:` to the header of its README.md before it is published

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    RunError
        The run holds more than the weights of a network, as ensembles and forests do.
    OutputError
        The folder holds something already.

    Examples
    --------
    .. code-block:: python

        save_hub_folder("runs/unet", "hub/unet")
    """
    run = run if isinstance(run, Run) else load_run(run)
    files = run.card["files"]
    if files.keys() != {WEIGHTS, LEGEND, RECIPE}:
        raise RunError(
            f"{run.folder} holds {', '.join(sorted(files))}; the layout of Hugging Face has the weights of one network. "
            "Give the run of a network, e.g. a member of the ensemble."
        )
    folder = _new_folder(folder)
    write_text(folder / README, f"{HEAD}\n# {run.folder.name}\n\n{_describe(run)}")
    with atomic_write(folder / MODEL) as partial:
        shutil.copyfile(run.folder / WEIGHTS, partial)
    write_json(folder / ITEM, _stac_item(run, files[WEIGHTS]["sha256"]))
    config: dict[str, Any] = {key: run.card[key] for key in CARD_KEYS}
    config |= {"legend": run.legend.to_dict(), "recipe": run.recipe, "weights_sha256": files[WEIGHTS]["sha256"]}
    write_json(folder / CONFIG, config)
    return folder


def load_hub_folder(folder: str | Path, out: str | Path) -> Run:
    """Make a run of a folder that `save_hub_folder` wrote.

    Parameters
    ----------
    folder : such a folder, as downloaded
    out : a new or empty folder, which becomes the run

    Returns
    -------
    Run
        The run in `out`; it predicts what the first one did.

    Raises
    ------
    RunError
        The folder is of another program, or its weights were changed.
    OutputError
        `out` holds something already.

    Examples
    --------
    .. code-block:: python

        run = load_hub_folder("downloads/unet", "runs/unet")
    """
    folder = Path(folder)
    try:
        config = read_json(folder / CONFIG)
    except InputError as error:
        raise RunError(f"{error} Give a folder that save_hub_folder wrote, or download it again.") from error
    if not isinstance(config, dict) or config.keys() != PARTS:
        raise RunError(
            f"{folder / CONFIG} does not describe a run of deepnets4eo. Give a folder that save_hub_folder wrote."
        )
    if not (folder / MODEL).is_file() or sha256(folder / MODEL) != config["weights_sha256"]:
        raise RunError(
            f"{folder / MODEL} is not the file that {CONFIG} describes (SHA-256 differs). Download it again."
        )
    legend, out = Legend.from_dict(config["legend"]), _new_folder(out)
    shutil.copyfile(folder / MODEL, out / WEIGHTS)
    write_yaml(out / LEGEND, legend.to_dict())
    write_recipe(out / RECIPE, config["recipe"])
    card = {key: config[key] for key in CARD_KEYS} | {"legend": legend.name}
    seal(out, card, [WEIGHTS, LEGEND, RECIPE])
    return load_run(out)


def _stac_item(run: Run, weights_sha256: str) -> dict[str, Any]:
    """The run as an item of a STAC catalog, valid everywhere and at any time: STAC 1.1.0, MLM 1.5.0."""
    network = str(run.segmenter.describe()["network"]["name"])
    identity = f"deepnets4eo-{network.replace('/', '-')}-{weights_sha256[:12]}"
    bands = [f"{name}/{band}" for name, layer in run.inputs.layers.items() for band in layer.bands]
    task = "semantic-segmentation" if run.legend.classes else "regression"
    classes = [
        {"value": one.value, "name": re.sub(r"[^\w-]+", "_", one.name, flags=re.ASCII), "title": one.name}
        for one in run.legend.classes
    ]
    result: dict[str, Any] = {
        "shape": [-1, run.legend.num_channels, -1, -1],
        "dim_order": ["batch", "class", "height", "width"],
    }
    properties = {
        "datetime": None, "start_datetime": "1900-01-01T00:00:00Z", "end_datetime": "9999-12-31T23:59:59Z",
        "bands": [{"name": band} for band in bands],
        "mlm:name": identity, "mlm:architecture": network, "mlm:tasks": [task], "mlm:framework": "PyTorch",
        "mlm:input": [{
            "name": "image", "bands": bands, "description": "Bands, prepared as the entry inputs of config.json says.",
            "input": {"shape": [-1, len(bands), -1, -1], "dim_order": ["batch", "bands", "height", "width"], "data_type": "float32"},
        }],
        "mlm:output": [{
            "name": "logits", "tasks": [task], "result": result | {"data_type": "float32"}, "classification:classes": classes,
        }],
    }  # fmt: skip
    model = {
        "href": f"./{MODEL}", "type": "application/octet-stream", "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": "safetensors.torch.save_file",
    }  # fmt: skip
    return {
        "type": "Feature", "stac_version": "1.1.0", "stac_extensions": [MLM], "id": identity, "geometry": None,
        "properties": properties, "links": [], "assets": {"model": model},
    }  # fmt: skip


def _new_folder(path: str | Path) -> Path:
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{path} exists already and is not empty. Choose another folder.")
    path.mkdir(parents=True, exist_ok=True)
    return path


def _describe(run: Run) -> str:
    """What the model is and how it is used, for the page of the model."""
    layers = "\n".join(f"- `{name}`: {', '.join(layer.bands)}" for name, layer in run.inputs.layers.items())
    outputs = [*run.legend.names, *([str(run.legend.quantity)] if run.legend.quantity else [])]
    classes = "\n".join(f"- {name}" for name in outputs)
    data = " on made-up images (SYNTHETIC)" if run.card["notes"].get("synthetic") else ""
    return f"""{run.segmenter.describe()["network"]["name"]} for remote-sensing images, trained with deepnets4eo{data}.

## Inputs

{layers}

## Outputs ({run.legend.name})

{classes}

## Use

```python
from deepnets4eo import Scene, predict
from deepnets4eo.segmenters import load_hub_folder

run = load_hub_folder("this folder", "runs/{run.folder.name}")
predict(run, Scene.open(image="photo.tif"), "labels.tif")
```
"""
