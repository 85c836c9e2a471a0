"""`deepnets4eo export`: a trained network for other programs, as ONNX or in the layout of Hugging Face."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from deepnets4eo.cli.options import Onnx, Overwrite
from deepnets4eo.cli.output import echo, show_result
from deepnets4eo.errors import InputError


def export(
    run: Annotated[str, Argument(help="Run folder that 'deepnets4eo train' made.")],
    onnx: Onnx = None,
    hub: Annotated[Path | None, Option("--hub", help="Folder to write, for upload to Hugging Face.")] = None,
    page: Annotated[
        Path | None, Option("--page", help="Folder to write, with the page of a hyperspectral run.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        Option(
            help="For --page: folder with the training data of the run; by default where the data was during training."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Export the network of a run as one ONNX file (compared with the run if onnxruntime is installed), as a folder for Hugging Face, or as
    a page that works offline.

    The ONNX network takes prepared images and returns logits. Its metadata entry "deepnets4eo" contains bands, scaling,
    legend and tiling as JSON. Needs pip install "deepnets4eo[onnx]".

    The folder for Hugging Face contains a STAC item, and every verb accepts it as a run.

    A page needs a run of the task hyperspectral; it shows maps, spectra, scores of withheld pixels, and leakage.

    \b
    deepnets4eo export runs/first --onnx first.onnx
    deepnets4eo export runs/first --hub hub/first
    deepnets4eo export runs/hamida --page runs/hamida-page
    """
    if onnx is None and hub is None and page is None:
        raise InputError("nothing to write is named. Give --onnx FILE, --hub FOLDER or --page FOLDER.")
    if page is not None:
        from deepnets4eo.hyperspectral import report
        from deepnets4eo.outputs import check_not_inputs

        check_not_inputs([page], [run, *(data or [])])
        show_result(f"page of {run}", report(run, page, data=data or [], overwrite=overwrite))
    if hub is not None:
        from deepnets4eo.segmenters import save_hub_folder

        show_result(
            "Add a licence to the head of its README.md before you publish it.",
            save_hub_folder(run, hub, overwrite=overwrite),
        )
    if onnx is not None:
        _export_onnx(run, onnx, overwrite=overwrite)


def _export_onnx(run: str, onnx: Path, *, overwrite: bool) -> None:
    from deepnets4eo.lazy import check_extra

    check_extra("deep", install="onnx")  # which has PyTorch as well: one installation is enough
    from deepnets4eo.jobs import new_output
    from deepnets4eo.outputs import check_not_inputs
    from deepnets4eo.segmenters import export_onnx, load_run

    check_not_inputs([onnx], [run])
    loaded = load_run(run)
    with new_output(onnx, overwrite=overwrite):
        done = export_onnx(loaded, onnx)
    if not done.any_size:
        echo(f"The network takes images of {done.side_px} × {done.side_px} px only.", err=True)
    if done.same_labels is None:
        line = "Not compared with the run: onnxruntime is not installed."
    elif loaded.legend.quantity is not None:
        line = f"onnxruntime returns what the run does; largest difference {done.largest_difference:.2g}."
    else:
        line = (
            f"onnxruntime has the run's label on {done.same_labels:.4%} of pixels; largest difference of logits "
            f"{done.largest_difference:.2g}."
        )
    show_result(line, done.path)
