"""`fmnist-edge deploy`: everything that another device needs, in one folder."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from fmnist_edge.cli.options import common_options, note, print_findings
from fmnist_edge.errors import GateError


@click.command(name="deploy")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Verify the kit in DIR: its files, its models, their answers here.")
@click.option("--ort", is_flag=True, help="Add both models in onnxruntime's own format (.ort).")
@click.option("--reduced-ops", is_flag=True, help="Add the operator list for a small build of onnxruntime.")
@click.option(
    "--web-runtime",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Folder of the npm package onnxruntime-web.  [default: looked for, as npm does]",
)
@click.option("--force", is_flag=True, help="Replace a kit even if someone changed or added files in it.")
@common_options
def command(folder: Path, check: bool, ort: bool, reduced_ops: bool, web_runtime: Path | None, force: bool) -> None:
    """Write a kit into DIR: the models, labels, cards and self-test vectors, and small programs that run them.

    The programs are in Python, in JavaScript for Node, and a web page that works without a network; each runs the
    self-test and classifies pictures. DIR appears in one step, or not at all. A kit that is there is replaced.

    --check exits with 1 if a file is missing or changed, or if this device gives other answers.
    """
    if check:
        if ort or reduced_ops or force or web_runtime:
            raise click.UsageError("--check writes nothing: all other options have no effect.")
        _check(folder)
    else:
        _deploy(folder, ort, reduced_ops, web_runtime, force)


def _check(folder: Path) -> None:
    from fmnist_edge.kit_check import check_kit

    result = check_kit(folder)
    print_findings(result.findings)
    for line in result.notes:
        note(f"note: {line}")
    if not result.passed:
        raise GateError(f"the kit in {folder} is damaged, or this device does not reproduce its answers")
    click.echo("the kit is whole, and this device reproduces its answers")


def _deploy(folder: Path, ort: bool, reduced_ops: bool, named: Path | None, force: bool) -> None:
    from fmnist_edge.atomic import write_folder_atomically
    from fmnist_edge.kit import WEB_HINT, build_kit, find_web_runtime
    from fmnist_edge.kit_check import check_replaceable

    # A polite kill unwinds as Ctrl-C does, so that the unfinished folder goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    check_replaceable(folder, force=force)
    web_runtime = find_web_runtime(named)
    files = build_kit(web_runtime, ort=ort, reduced_ops=reduced_ops)
    write_folder_atomically(folder, files)
    click.echo(f"wrote {folder}: {len(files)} files, {sum(map(len, files.values())) / 1e6:.1f} MB")
    note(WEB_HINT if web_runtime is None else f"the web page runs on onnxruntime-web {web_runtime.version}")
