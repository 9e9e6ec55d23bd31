"""`fmnist-edge deploy`: everything that another device needs, in one folder."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from fmnist_edge.cli.options import (
    FILE,
    allow_closed_output,
    common_options,
    note,
    overwrite_option,
    print_findings,
    shows_progress,
)
from fmnist_edge.errors import GateError, UsageError
from fmnist_edge.model_info import MODELS


@click.command(name="deploy")
@click.argument("folder", metavar="DIR", type=FILE)
@click.option("--check", is_flag=True, help="Verify the kit in DIR: its files, its models, their answers here.")
@click.option(
    "--model",
    "models",
    multiple=True,
    type=FILE,
    metavar="FILE",
    help="Another .onnx file for the embedded one of its kind; may be given once for each kind.",
)
@click.option("--ort", is_flag=True, help="Add both models in onnxruntime's own format (.ort).")
@click.option("--reduced-ops", is_flag=True, help="Add the operator list for a small build of onnxruntime.")
@click.option(
    "--web-runtime",
    type=click.Path(path_type=Path, readable=False, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Folder of the npm package onnxruntime-web.  [default: looked for, as npm does]",
)
@overwrite_option
@common_options
def command(
    folder: Path,
    check: bool,
    models: tuple[Path, ...],
    ort: bool,
    reduced_ops: bool,
    web_runtime: Path | None,
    overwrite: bool,
) -> None:
    """Write a kit that runs the models on other devices. Models, labels, self-test and small programs, in DIR.

    The programs are in Python, in JavaScript for Node, and a web page that works without a network; each runs the
    self-test and classifies pictures. DIR appears in one step, or not at all. A kit that is there is replaced; what
    npm installed into it stays.

    --check exits with 1 if a file is missing or changed, or if this device gives other answers.
    """
    if not check:
        _deploy(folder, models, ort, reduced_ops, web_runtime, overwrite)
        return
    if models or ort or reduced_ops or overwrite or web_runtime:
        raise click.UsageError("--check writes nothing: all other options have no effect.")
    _check(folder)


def _check(folder: Path) -> None:
    from fmnist_edge.kit_check import check_kit

    result = check_kit(folder)
    print_findings(result.findings)
    for line in result.notes:
        note(f"note: {line}")
    if not result.passed:
        raise GateError(f"the kit in {folder} is damaged, or this device does not reproduce its answers")
    click.echo("the kit is whole, and this device reproduces its answers")


def _deploy(
    folder: Path, models: tuple[Path, ...], ort: bool, reduced_ops: bool, named: Path | None, overwrite: bool
) -> None:
    allow_closed_output()
    if not MODELS.is_dir():
        raise UsageError("deploy copies files of the package, which runs from a zip here: install it first")
    from fmnist_edge.atomic import write_folder_atomically
    from fmnist_edge.kit import WEB_HINT, build_kit, find_web_runtime
    from fmnist_edge.kit_check import check_replaceable

    # A polite kill unwinds as Ctrl-C does, so that the unfinished folder goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    kept = check_replaceable(folder, models, overwrite=overwrite)
    _say("looking for onnxruntime-web")
    web_runtime = find_web_runtime(named)
    files = build_kit(web_runtime, models, ort=ort, reduced_ops=reduced_ops, step=_say)
    _say(f"writing {len(files)} files")
    write_folder_atomically(folder, files, kept)
    click.echo(f"wrote {folder}: {len(files)} files, {sum(map(len, files.values())) / 1e6:.1f} MB")
    note(WEB_HINT if web_runtime is None else f"the web page runs on onnxruntime-web {web_runtime.version}")


def _say(step: str) -> None:
    """Tell a person who watches what is being done."""
    if shows_progress():
        click.echo(f"{step} ...", err=True)
