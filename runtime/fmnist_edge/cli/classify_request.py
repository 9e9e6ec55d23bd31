"""What a call of `classify` asks for, and what of it contradicts itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fmnist_edge.cli.outputs import check_output_folder, check_outputs

if TYPE_CHECKING:
    from fmnist_edge.bulk.walking import Input
    from fmnist_edge.classifier import Route

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class ClassifyRequest:
    """The options of `classify`, as its --help lists them."""

    inputs: tuple[str, ...]
    files_from: str | None
    null: bool
    recursive: bool
    watched: Path | None
    state: Path | None
    settle: float | None
    output_format: str
    top_k: int | None
    min_confidence: float | None
    route: Route
    explanations: Path | None
    show: bool
    max_pixels: int | None
    model: Path | None
    threads: int
    workers: int
    output: Path | None
    overwrite: bool

    def check(self) -> None:
        """Raise UsageError for what contradicts itself or can have no effect."""
        if self.show and self.output_format != "text":
            raise click.UsageError("--show goes with --format text: the other forms are for machines.")
        if self.null and self.files_from is None:
            raise click.UsageError("--null goes with --files-from: it says how the paths in that list end.")
        if self.watched is not None:
            self._check_watch()
        else:
            self._check_inputs()
        self._check_outputs()

    def paths(self) -> Iterable[Input]:
        """Return the inputs: those named, then those of the list, which is read as they are asked for."""
        yield from self.inputs
        if self.files_from is not None:
            from fmnist_edge.bulk.path_lists import listed_paths

            yield from listed_paths(self.files_from, null=self.null)

    def count(self) -> int | None:
        """Return how many inputs there are, or None if that turns out as they come."""
        return None if self.recursive or self.files_from is not None else len(self.inputs)

    def _check_watch(self) -> None:
        if self.inputs or self.files_from is not None:
            raise click.UsageError("--watch classifies what is dropped into its folder; name no other inputs.")
        if self.output is not None:
            raise click.UsageError("--watch never ends, so --output would never appear; append with `>> FILE` instead.")
        if self.output_format == "json":
            raise click.UsageError("--watch never ends, and neither would a list; take --format jsonl.")
        if self.workers > 1:
            raise click.UsageError("--workers has no effect with --watch.")

    def _check_inputs(self) -> None:
        if self.state is not None or self.settle is not None:
            raise click.UsageError("--state and --settle go with --watch.")
        if not self.inputs and self.files_from is None:
            raise click.UsageError("Missing argument 'FILE...'.")
        if [*self.inputs, self.files_from].count(STANDARD_INPUT) > 1:
            raise click.UsageError("Standard input (-) can be read only once.")
        if self.recursive and self.files_from is None and all(_is_no_folder(path) for path in self.inputs):
            raise click.UsageError("-r has no effect: none of the inputs is a folder.")
        if self.workers > 1 and self.count() == 1:
            raise click.UsageError("--workers has no effect: there is one input only.")
        if self.workers > 1 and self.explanations:
            raise click.UsageError("--explain draws in one process: leave --workers out.")

    def _check_outputs(self) -> None:
        """Raise UsageError, before anything is read, if an output is an input or a file of somebody's own."""
        if self.overwrite and not (self.output or self.explanations):
            raise click.UsageError("--overwrite goes with --output and --explain.")
        lists = [path for path in (self.files_from, self.model) if path not in (None, STANDARD_INPUT)]
        named = [path for path in self.inputs if path != STANDARD_INPUT and (self.recursive or not Path(path).is_dir())]
        read = [*named, *lists, *([self.watched] if self.watched else [])]
        check_outputs([self.output], [*read, self.state], overwrite=self.overwrite)
        check_outputs([self.state], read, overwrite=True)  # the journal looks itself whether it is one
        # Of a list nobody knows yet what it names: no picture in the folder may be lost.
        check_output_folder(self.explanations, read, overwrite=self.overwrite and self.files_from is None)


def _is_no_folder(path: str) -> bool:
    return path == STANDARD_INPUT or (Path(path).exists() and not Path(path).is_dir())
