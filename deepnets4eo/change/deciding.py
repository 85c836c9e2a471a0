"""What decides on change: a method without training, or a run; and which options go with it."""

from __future__ import annotations

from dataclasses import replace

from deepnets4eo.change.change_scores import check_change_legend, is_from_to
from deepnets4eo.change.classical.feature_distance import FeatureDistance
from deepnets4eo.change.options import ChangeOptions
from deepnets4eo.change.pair import POST, PRE, ChangePair
from deepnets4eo.errors import InputError
from deepnets4eo.lazy import check_extra
from deepnets4eo.segmenters.run import Run, load_run


def check_options(options: ChangeOptions) -> None:
    """Refuse options that contradict each other. Errors: InputError."""
    if (options.cover_pre is None) != (options.cover_post is None):
        date, other = ("pre", "post") if options.cover_post is None else ("post", "pre")
        raise InputError(
            f"--set cover_{date} was given without --set cover_{other}; classes before and after need land cover of both dates. "
            "Give both, or none."
        )
    if options.model is None and options.normalise != "none":
        raise InputError(
            f"--set normalise={options.normalise} was given without --model; methods without training standardise both dates "
            "themselves. Leave it out."
        )


def with_method_of(pair: ChangePair, options: ChangeOptions) -> ChangeOptions:
    """The options for this pair: rasters that hold embeddings already are compared by their cosine. Raises MissingExtraError where
    embeddings have to be made and PyTorch is not installed."""
    if options.model is not None or options.method != FeatureDistance.name:
        return options
    if pair.scene.layers[POST].embedding is not None:
        return replace(options, method="cosine")
    check_extra("deep")
    return options


def load_change_run(options: ChangeOptions) -> Run | None:
    """Open the run of the options, None without one. Raises InputError or RunError for a run that does not label change
    in pairs, or finds the land cover itself."""
    model = options.model
    if model is None:
        return None
    run = load_run(model)
    check_change_legend(run.legend, str(run.folder))
    if run.inputs.names != [PRE, POST]:
        raise InputError(
            f"{model} reads the layers {run.inputs.names}; a run of change reads {[PRE, POST]}. Train one with "
            f"model.layers: [{PRE}, {POST}]."
        )
    if is_from_to(run.legend) and options.cover_pre is not None:
        raise InputError(
            f"--set cover_pre and --set cover_post were given with {model}, which finds the land cover of both dates itself. Leave them out."
        )
    return run
