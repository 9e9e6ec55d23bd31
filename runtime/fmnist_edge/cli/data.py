"""`fmnist-edge data`: get the dataset, and say where it is. Imports no numpy."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from fmnist_edge.cli.options import (
    FOLDER,
    check_outputs,
    common_options,
    data_option,
    is_verbose,
    note,
    overwrite_option,
    progress_bar,
    text_or_json_option,
)
from fmnist_edge.dataset import (
    SHA256,
    Look,
    cache_folder,
    check_folder,
    fetch_folder,
    find_dataset,
    look,
    verified_content,
)
from fmnist_edge.download import STALL_SECONDS, FetchListener, fetch_dataset
from fmnist_edge.errors import EXIT_UNAVAILABLE, DataError, UsageError


@click.group()
@common_options
def command() -> None:
    """Get the Fashion-MNIST dataset, and say where it is."""


@command.command()
@click.option(
    "-o",
    "--output",
    "output",
    type=FOLDER,
    metavar="DIR",
    help="Folder for the files (default: $FMNIST_DATA, or the user's cache).",
)
@click.option("--photos", is_flag=True, help="Fetch the photos that the photo model is made with, not the dataset.")
@click.option("--force", is_flag=True, help="Fetch even if a good copy is there.")
@overwrite_option
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=STALL_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Give up on a source after this long without data.",
)
@common_options
def fetch(output: Path | None, photos: bool, force: bool, overwrite: bool, timeout: float) -> None:
    """Fetch and verify the dataset (or the photos). Prints its folder.

    It comes from the public mirrors, or those whose base URLs are in $FMNIST_MIRRORS (separated by
    blanks), then through apt-get from Debian's package. Proxies and certificates are taken from
    http_proxy, https_proxy, no_proxy and SSL_CERT_FILE.
    """
    # A polite kill unwinds as Ctrl-C does, so that the children end and temporary folders go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if photos:
        if overwrite:
            raise click.UsageError("--overwrite is for files of the dataset; photos take a folder of their own.")
        click.echo(_fetch_photos(output, force, timeout))
        return
    present = None if force else _good_copy(output)
    if present:
        note(f"a good copy is there already; --force fetches it again: {present}")
    else:
        folder = output or fetch_folder()
        if folder != cache_folder():
            check_outputs((folder / f"{stem}.gz" for stem in SHA256), overwrite=overwrite, ours=_is_dataset_file)
        with ExitStack() as bars:
            present = fetch_dataset(folder, force=force, stall_seconds=timeout, listener=_Shown(bars))
    click.echo(present)


def _fetch_photos(output: Path | None, force: bool, timeout: float) -> Path:
    """Fetch the photos into the folder given, or into the user's cache; a copy that is there is kept."""
    from fmnist_edge.photos import cached_photos, fetch_photos, is_photo_copy, photos_at_hand, wanted_archive

    folder = output or cached_photos()
    present = None if output or force else photos_at_hand()
    if present:
        note(f"photos are there already; --force fetches them again: {present}")
        return present
    if output and output.exists() and any(output.iterdir()) and not is_photo_copy(output):
        raise UsageError(f"{output} would be replaced, and has more in it than a copy of the photos; name a new folder")
    with ExitStack() as bars:
        return fetch_photos(folder, archive=wanted_archive(), stall_seconds=timeout, listener=_Shown(bars))


@command.command()
@data_option
@text_or_json_option
@common_options
@click.pass_context
def status(ctx: click.Context, data: Path | None, output_format: str) -> None:
    """Show where the dataset is looked for, and which is used.

    Exit code 3 if there is no good copy.
    """
    looks = list(look(data))
    used = next((result for result in looks if result.complete), None)
    rows = [_row(result) for result in looks]
    if output_format == "json":
        click.echo(json.dumps({"used": _row(used)["folder"] if used else None, "places": rows}, indent=2))
    else:
        click.echo("\n".join(_line(row, result is used) for row, result in zip(rows, looks, strict=True)))
    if used is None:
        note("get the dataset with `fmnist-edge data fetch`")
        ctx.exit(EXIT_UNAVAILABLE)


@command.command()
@data_option
@common_options
def path(data: Path | None) -> None:
    """Print the folder of the dataset that is used. Exit code 3 if there is none."""
    click.echo(find_dataset(data))


def _is_dataset_file(path: Path) -> bool:
    """Tell whether a file is what a fetch writes under its name (MNIST's files have the same names)."""
    try:
        return bool(verified_content(path.stem, path.read_bytes()))
    except (OSError, DataError):
        return False


def _good_copy(output: Path | None) -> Path | None:
    """Return the folder that makes a fetch needless, if there is one."""
    if output:
        return output if check_folder(output).state == "complete" else None
    try:
        return find_dataset()
    except DataError:
        return None


def _row(result: Look) -> dict[str, str | None]:
    return {
        "place": result.name,
        "folder": str(result.folder) if result.folder else None,
        "state": result.state,
        "detail": (result.check and result.check.detail) or None,
    }


def _line(row: dict[str, str | None], is_used: bool) -> str:
    """Return a line of text: a star for the place used, its name, state, folder and what is wrong with it."""
    state = str(row["state"]).replace("-", " ")
    detail = f" ({row['detail']})" if row["detail"] else ""
    return f"{'*' if is_used else ' '} {row['place']:<16}  {state:<13}  {row['folder'] or '-'}{detail}"


class _Shown(FetchListener):
    """Shows a fetch on standard error, its progress as one bar after the other."""

    def __init__(self, bars: ExitStack) -> None:
        self._bars = bars
        self._name = ""
        self._bar: Any = None  # click's ProgressBar, whose type is not public

    def step(self, message: str) -> None:
        self._end_bar()
        note(message)

    def detail(self, message: str) -> None:
        if is_verbose():
            self.step(message)

    def received(self, name: str, so_far: int, total: int | None) -> None:
        if total is None:
            return
        if name != self._name:
            self._end_bar()
            self._name, self._bar = name, self._bars.enter_context(progress_bar(name, total))
        self._bar.update(so_far - self._bar.pos)

    def _end_bar(self) -> None:
        self._bars.close()
        self._name = ""
