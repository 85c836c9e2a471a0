"""`deepnets4eo train`: train a recipe on data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from deepnets4eo.cli.completion import choices, completion_of, recipe_names
from deepnets4eo.cli.options import Device, Online, Overwrite, Resume
from deepnets4eo.cli.output import ask_on_terminal, echo, show_result
from deepnets4eo.errors import InputError
from deepnets4eo.options import RESOURCES

Seeds = Annotated[
    int | None,
    Option(
        "--seeds",
        help="Train with this number of seeds, each with another part withheld; the mean ± sd goes to seeds.json.",
    ),
]
TrainPrecision = Annotated[
    str | None,
    Option(
        "--precision",
        help="auto, float32, bfloat16 or float16 (GPU); by default the recipe's.",
        autocompletion=completion_of("precision"),
        rich_help_panel=RESOURCES,
    ),
]
Devices = Annotated[
    str,
    Option(
        "--devices",
        help="Number of GPUs that train together, or all; on a CPU: number of processes.",
        autocompletion=choices("1", "2", "4", "8", "all"),
        rich_help_panel=RESOURCES,
    ),
]
Finish = Annotated[
    bool, Option("--finish", help="With --resume: stop training, and write the run with the best weights so far.")
]


def train(
    recipe: Annotated[
        str, Argument(help="Name of a recipe (see `deepnets4eo models`) or a YAML file.", autocompletion=recipe_names)
    ],
    out: Annotated[Path | None, Option("--out", help="Run folder; by default runs/RECIPE.")] = None,
    images: Annotated[Path | None, Option("--images", help="Folder of images, instead of --data.")] = None,
    masks: Annotated[
        Path | None,
        Option(
            "--masks",
            help="Folder of masks, each with the name of its image; classes by colour or value.",
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        Option(
            "--data",
            help="Folder to which the file patterns of the recipe refer, or DATASET=FOLDER for a dataset card.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, Option("--set", help="Change a value of the recipe, e.g. train.epochs=20.")
    ] = None,
    seed: Annotated[int | None, Option("--seed", help="Seed of all randomness; by default the recipe's.")] = None,
    seeds: Seeds = None,
    device: Device = "auto",
    precision: TrainPrecision = None,
    devices: Devices = "1",
    online: Online = False,
    resume: Resume = False,
    finish: Finish = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a recipe on data, write a run folder and print its path.

    A run contains weights, recipe, legend, scores and learning curves.

    \b
    deepnets4eo train unet-resnet34 --images images/ --masks masks/
    deepnets4eo train unet-resnet34 --data city/ --set legend=minicity --out runs/first
    deepnets4eo train hyperspectral/svm --data pavia_university=FOLDER --seeds 3 --out runs/svm
    deepnets4eo train my.yaml --set train.epochs=20 --seed 1 --out runs/second --resume --finish
    deepnets4eo train unet-resnet34 --data tiles/ --set legend=isprs --out runs/third --devices all"""
    from deepnets4eo.training import ImageMaskFolders, TrainOptions, train as train_recipe

    overrides = list(settings or [])
    overrides += [f"train.seed={seed}"] if seed is not None else []
    overrides += [f"train.precision={precision}"] if precision is not None else []
    count = _device_count(devices, device)
    options = TrainOptions(device, resume=resume, finish=finish, overwrite=overwrite, online=online, devices=count)
    if (images is None) != (masks is None) or (images and data):
        raise InputError("--images and --masks belong together, and replace --data. Give both, or only --data.")
    source = ImageMaskFolders(images, masks, ask_on_terminal()) if images and masks else data or ()
    if seeds is None:
        run = train_recipe(recipe, out, data=source, overrides=overrides, options=options)
        show_result(_headline(run), run)
        return
    from deepnets4eo.evaluation import seeds_table
    from deepnets4eo.training import train_seeds

    folder = train_seeds(recipe, out, seeds, data=source, overrides=overrides, options=options)
    echo(seeds_table(folder), err=True, nl=False)
    show_result(f"{seeds} runs of {recipe}", folder)


def _headline(run: Path) -> str:
    """Return the scores on withheld data, in one line; tasks with other scores have them only in metrics.json."""
    from deepnets4eo.evaluation import headline
    from deepnets4eo.files import read_json
    from deepnets4eo.segmenters import RunFolder

    metrics = RunFolder(run).metrics
    scores = headline(read_json(metrics)) if metrics.is_file() else ""
    return f"trained; on what was withheld: {scores}" if scores else f"trained; its scores are in {metrics}"


def _device_count(text: str, device: str) -> int:
    if text == "all":
        from deepnets4eo.device import count_devices

        return count_devices(device)
    if not text.isdecimal():
        raise InputError(f"--devices {text} is not a number of devices. Write it like 2, or all.")
    return int(text)
