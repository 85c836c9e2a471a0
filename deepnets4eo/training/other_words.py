"""Words of other libraries for values of a recipe, and how they are written here: errors that meet one name ours."""

from __future__ import annotations

from deepnets4eo.errors import nearest_name

# What follows from data or legend, and so has no key
FOLLOWS = {
    **dict.fromkeys(("classes", "num_classes", "n_classes", "nclass"), "The number of classes follows from the legend: legend=NAME"),
    **dict.fromkeys(("in_channels", "in_chans", "input_channels", "num_bands"), "The number of bands follows from the data; data.bands chooses some"),
    **dict.fromkeys(("ignore_index", "void_value", "ignore_label"), "255 is void in every label raster; other values are named in the legend"),
    **dict.fromkeys(("mean", "std", "normalize"), "Mean and deviation are measured and kept in the run; data.scaling has the other ways"),
    **dict.fromkeys(("gpus", "accelerator", "strategy"), "Devices are options of the verb: --device, --devices"),
    **dict.fromkeys(("runs", "n_runs"), "Several runs are an option of the verb: --seeds 3"),
}  # fmt: skip
KEYS = {
    **dict.fromkeys(("encoder_name", "backbone", "backbone_name"), "model.encoder"),
    **dict.fromkeys(("arch", "architecture", "model_name"), "model.network"),
    **dict.fromkeys(("weights", "pretrained", "pretrained_weights"), "model.encoder_weights"),
    **dict.fromkeys(("learning_rate", "base_lr", "max_lr"), "train.lr"),
    **dict.fromkeys(("max_epochs", "num_epochs", "n_epochs"), "train.epochs"),
    **dict.fromkeys(("samples_per_gpu", "train_batch_size"), "train.batch_size"),
    **dict.fromkeys(("patch_size", "crop_size", "chip_size", "chip_sz", "img_size", "tile_size"), "data.tile_px"),
    **dict.fromkeys(("loss", "criterion", "loss_decode"), "train.losses"),
    **dict.fromkeys(("class_balancing", "balanced_weights"), "train.class_weighting"),
    **dict.fromkeys(("flip_augmentation", "horizontal_flip"), "train.flips"),
    **dict.fromkeys(("sampling_mode", "split_mode"), "data.split"),
    **dict.fromkeys(("training_sample", "val_split", "val_split_pct", "test_size"), "data.val_share"),
    **dict.fromkeys(("early_stopping", "early_stopping_patience"), "train.patience"),
}


def hint_of_other_word(word: object) -> str | None:
    """Return the hint for a word of another library; None for any other word.

    >>> hint_of_other_word("encoder-name")
    "What other libraries call 'encoder_name' is 'model.encoder' here."
    >>> hint_of_other_word("num_classes")
    'The number of classes follows from the legend: legend=NAME.'
    """
    name = str(word).strip("-").replace("-", "_").lower()
    if name in FOLLOWS:
        return f"{FOLLOWS[name]}."
    return f"What other libraries call {name!r} is {KEYS[name]!r} here." if name in KEYS else None


def hint_of_near_word(word: object) -> str | None:
    """Return the sentence for the nearest word of another library, or None if none is near.

    >>> hint_of_near_word("lerning_rate")
    "What other libraries call 'learning_rate' is 'train.lr' here."
    """
    near = nearest_name(str(word).strip("-").replace("-", "_").lower(), (*KEYS, *FOLLOWS))
    return None if near is None else hint_of_other_word(near)
