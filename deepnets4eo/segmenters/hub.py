"""A run in the layout of Hugging Face: README.md with metadata, config.json, model.safetensors, a STAC item and the run's seal.

Takes the run of one network; writes a folder on this computer, which is a run too. Nothing goes online."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from deepnets4eo.cards import run_path
from deepnets4eo.errors import RunError
from deepnets4eo.files import write_json, write_text
from deepnets4eo.jobs import JobOutput
from deepnets4eo.outputs import check_not_inputs
from deepnets4eo.segmenters.checksums import RunFolder, seal
from deepnets4eo.segmenters.run import Run, load_run

CONFIG, README, ITEM = "config.json", "README.md", "item.json"
MLM = "https://stac-extensions.github.io/mlm/v1.5.0/schema.json"
HEAD = """---
library_name: deepnets4eo
pipeline_tag: image-segmentation
tags:
- remote-sensing
- earth-observation
- semantic-segmentation
---
"""


def save_hub_folder(run: Run | str | Path, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write a run as a folder that can be uploaded to Hugging Face as a model, with a STAC item of it (`item.json`, extension MLM).

    Errors: RunError (the run holds more than the weights of a network, as ensembles and forests do); OutputError (the folder holds
    something already).

    Parameters
    ----------
    run : a run, or its folder
    folder : a new or empty folder; add `license:` to the header of its README.md before it is published
    overwrite : whether what an older folder of this kind holds is replaced

    Returns
    -------
    The folder, which `load_run` takes as well.
    """
    folder = Path(folder)
    check_not_inputs([folder], [run.folder if isinstance(run, Run) else run_path(run)])
    with JobOutput(folder, overwrite=overwrite, last=RunFolder(folder).card.name).products() as products:
        hidden, run = products.folder, run if isinstance(run, Run) else load_run(run)
        written, read = RunFolder(hidden), RunFolder(run.folder)
        weights = read.read_weights
        if run.card["files"].keys() != {weights.name, read.legend.name, read.recipe.name}:
            raise RunError(
                f"{run.folder} holds {', '.join(sorted(run.card['files']))}; the layout of Hugging Face has the weights of one network. "
                "Give the run of a network, e.g. a member of the ensemble."
            )
        sources = {written.hub_weights: weights, written.legend: read.legend, written.recipe: read.recipe}
        for target, source in sources.items():
            shutil.copyfile(source, target)
        write_text(hidden / README, f"{HEAD}\n# {run.folder.name}\n\n{_describe(run)}")
        write_json(hidden / CONFIG, _config(run))
        write_json(hidden / ITEM, _stac_item(run, run.card["files"][weights.name]["sha256"]))
        names = [path.name for path in sources]
        seal(hidden, run.card, names)
        products.publish([*names, README, CONFIG, ITEM, written.card.name])
    return folder


def _config(run: Run) -> dict[str, Any]:
    """Return the entries that programs for such folders look for: the network, and the names of its classes by channel."""
    names = {str(channel): name for channel, name in enumerate(run.legend.names)}
    labels = {"id2label": names, "label2id": {name: int(channel) for channel, name in names.items()}}
    return {
        "architectures": [run.segmenter.describe()["network"]["name"]],
        **(labels | {"label_values": list(run.legend.values)} if names else {}),
        "num_channels": run.inputs.in_channels,
        "inputs": run.inputs.to_dict(),
        "tiling": run.tiling.to_dict(),
        "geometry": run.tiling.geometry(),
    }


def _stac_item(run: Run, weights_sha256: str) -> dict[str, Any]:
    """Return the run as an item of a STAC catalog, valid everywhere and at any time: STAC 1.1.0, MLM 1.5.0."""
    network = str(run.segmenter.describe()["network"]["name"])
    identity = f"deepnets4eo-{network.replace('/', '-')}-{weights_sha256[:12]}"
    bands = [f"{name}/{band}" for name, layer in run.inputs.layers.items() for band in layer.bands]
    task = "semantic-segmentation" if run.legend.classes else "regression"
    classes = [
        {"value": channel, "name": re.sub(r"[^\w-]+", "_", entry.name, flags=re.ASCII), "title": entry.name}
        for channel, entry in enumerate(run.legend.classes)
    ]
    result: dict[str, Any] = {
        "shape": [-1, run.legend.num_channels, -1, -1],
        "dim_order": ["batch", "class", "height", "width"],
    }
    properties = {
        "datetime": None, "start_datetime": "1900-01-01T00:00:00Z", "end_datetime": "9999-12-31T23:59:59Z",
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
        "href": f"./{RunFolder(run.folder).hub_weights.name}", "type": "application/octet-stream", "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": "safetensors.torch.save_file", "bands": [{"name": band} for band in bands],
    }  # fmt: skip
    return {
        "type": "Feature", "stac_version": "1.1.0", "stac_extensions": [MLM], "id": identity, "geometry": None,
        "properties": properties, "links": [], "assets": {"model": model},
    }  # fmt: skip


def _describe(run: Run) -> str:
    """Describe the model and its use, for the page of the model."""
    layers = "\n".join(f"- `{name}`: {', '.join(layer.bands)}" for name, layer in run.inputs.layers.items())
    outputs = [f"{entry.name} (label {entry.value})" for entry in run.legend.classes]
    outputs += [str(run.legend.quantity)] if run.legend.quantity else []
    classes = "\n".join(f"- channel {channel}: {name}" for channel, name in enumerate(outputs))
    data = " on made-up images (SYNTHETIC)" if run.card["notes"].get("synthetic") else ""
    return f"""{run.segmenter.describe()["network"]["name"]} for remote-sensing images, trained with deepnets4eo{data}.

## Inputs

{layers}

## Outputs ({run.legend.name})

{classes}

## Use

```python
from deepnets4eo import Scene, load_run, predict

predict(load_run("this folder"), Scene.open(image="photo.tif"), "labels.tif")
```

Without deepnets4eo: bands are scaled and set to 0 where they are not valid, as `inputs` of config.json says. {run.tiling.geometry()}
"""
