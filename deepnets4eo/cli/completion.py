"""Names that the shell completes in the place of a value; without such names, the shell proposes files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import typer

from deepnets4eo.device import PRECISIONS, RUNTIMES


def recipe_names(incomplete: str) -> list[str]:
    """Return the models that come with the toolbox."""
    from deepnets4eo.cards import ShippedModel

    return _starting_with(incomplete, ShippedModel.names())


def _names_of(*kinds: str) -> Callable[[str], list[str]]:
    """Return a function that completes the names of cards of these kinds."""

    def complete(incomplete: str) -> list[str]:
        from deepnets4eo.cards import CardKind

        return _starting_with(incomplete, [name for kind in kinds for name in CardKind[kind].names])

    return complete


dataset_names, legend_names = _names_of("DATASET"), _names_of("LEGEND")


def card_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return legends if `--legends` or `--qml` comes before, else cards of datasets and embeddings."""
    kinds = ("LEGEND",) if ctx.params.get("legends") or ctx.params.get("qml") else ("DATASET", "EMBEDDING")
    return _names_of(*kinds)(incomplete)


def protocol_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the protocols `DATASET/PROTOCOL` that start with `incomplete`; with `--dataset`, only the protocols of its card."""
    from deepnets4eo.cards import CardKind, DatasetCard
    from deepnets4eo.errors import InputError

    dataset = ctx.params.get("dataset")
    try:
        if dataset:
            return _starting_with(incomplete, list(DatasetCard.load(dataset).protocols))
        cards = [DatasetCard.load(name) for name in _cards_of(incomplete, CardKind.DATASET.names)]
    except InputError:  # a card that cannot be read: the verb says so
        return []
    protocols = [f"{card.name}/{protocol}" for card in cards for protocol in card.protocols]
    return _starting_with(incomplete, protocols)


def choices(*names: str) -> Callable[[str], list[str]]:
    """Return a function that completes one of `names`.

    >>> choices("auto", "cpu", "cuda")("c")
    ['cpu', 'cuda']
    """

    def complete(incomplete: str) -> list[str]:
        return _starting_with(incomplete, names)

    return complete


COMPLETED: dict[str, Callable[..., list[str]]] = {  # fields of settings classes whose values the shell completes
    "legend": legend_names,
    "protocol": protocol_names,
    "dataset": dataset_names,
    "device": choices("auto", "cpu", "cuda"),
    "precision": choices("auto", *PRECISIONS),
    "runtime": choices("auto", *RUNTIMES),
}


def completion_of(name: str) -> Callable[..., list[str]] | None:
    """Return what completes the values of a field of a settings class, None for others."""
    return COMPLETED.get(name)


def _cards_of(incomplete: str, names: Sequence[str]) -> list[str]:
    dataset, slash, _ = incomplete.partition("/")
    return [name for name in names if (name == dataset if slash else name.startswith(dataset))]


def _starting_with(incomplete: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
