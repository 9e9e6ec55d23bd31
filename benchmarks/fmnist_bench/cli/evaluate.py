"""`fmnist-edge evaluate`: how good is a model, and where is it wrong?"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fmnist_edge.cli.options import (
    common_options,
    data_option,
    model_option,
    note,
    output_file_option,
    shows_progress,
)
from fmnist_edge.errors import EXIT_FAILED

if TYPE_CHECKING:
    from fmnist_bench.evaluate import Evaluation
    from fmnist_bench.labelled import Answers
    from fmnist_edge.batch import Result


@click.command("evaluate")
@model_option
@click.option(
    "--images",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="A folder with a sub-folder of images for each label, instead of the dataset.",
)
@click.option(
    "--map",
    "mapping",
    metavar="NAME=LABEL,...",
    help="Labels of sub-folders that are not named as one; NAME=LABEL|LABEL accepts several, NAME= leaves it out.",
)
@click.option("--skip", multiple=True, metavar="NAME", help="Leave a sub-folder out; may be repeated.")
@click.option(
    "--forgive",
    multiple=True,
    metavar="LABEL,LABEL,...",
    help='Take these labels as one, as in "T-shirt/top,Pullover,Shirt"; may be repeated.',
)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    help="Images of the dataset.  [default: test]",
)
@data_option
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "csv"]),
    default="text",
    show_default=True,
    help="Form of the output; csv has a line for each figure.",
)
@output_file_option
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write a page with figures, mistakes and model card to DIR/index.html, too.",
)
@click.option(
    "--training-record",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The training.json whose curves the report shows.",
)
@common_options
@click.pass_context
def command(
    ctx: click.Context,
    model: Path | None,
    images: Path | None,
    mapping: str | None,
    skip: tuple[str, ...],
    forgive: tuple[str, ...],
    split: str | None,
    data: Path | None,
    output_format: str,
    output: Path | None,
    report: Path | None,
    training_record: Path | None,
) -> None:
    """Measure a model on labelled images: accuracy, errors by class, calibration, accuracy without the unsure.

    The best class counts, however unsure. Images that cannot be read are reported and left out, and the exit code
    is then 1.
    """
    asked = _Asked(model, images, mapping, skip, split, data)
    asked.check()
    if training_record is not None and report is None:
        raise click.UsageError("--training-record goes into the report: add --report DIR.")
    if report is not None:
        _require_extra()
    from fmnist_bench.evaluate import evaluate
    from fmnist_bench.evaluation_formats import FORMATTERS
    from fmnist_bench.labelled import parse_group

    forgiven = [parse_group(group) for group in forgive]
    answers, title = asked.answers()
    evaluation = evaluate(answers, forgiven)
    _print(FORMATTERS[output_format](evaluation, title), output)
    if report is not None:
        _write_report(report, model, training_record, (title, answers, evaluation))
    if evaluation.unreadable:
        ctx.exit(EXIT_FAILED)


@dataclass(frozen=True)
class _Asked:
    """What to evaluate on what."""

    model: Path | None
    images: Path | None
    mapping: str | None
    skip: tuple[str, ...]
    split: str | None
    data: Path | None

    def check(self) -> None:
        """Refuse options that can have no effect."""
        if self.images is None and (self.mapping is not None or self.skip):
            raise click.UsageError("--map and --skip name sub-folders of --images DIR, which is not given.")
        if self.images is not None and (self.split or self.data):
            raise click.UsageError("--split and --data choose images of the dataset; --images takes its place.")

    def answers(self) -> tuple[Answers, str]:
        """Return the model's answers, and a title that says which model saw what."""
        from fmnist_bench.labelled import answer_folder, answer_split, find_labelled_images, parse_map
        from fmnist_edge.classifier import Classifier

        classifier = Classifier(self.model)
        if self.images is None:
            split: Any = self.split or "test"
            answers = answer_split(classifier, split, self.data)
            what = f"{len(answers.truth):,} {split} images of Fashion-MNIST"
        else:
            mapping = parse_map(self.mapping) if self.mapping is not None else {}
            labelled = find_labelled_images(self.images, mapping, self.skip)
            with _progress(len(labelled.paths)) as bar:
                answers = answer_folder(classifier, labelled, lambda results: _watched(results, bar))
            what = f"{len(answers.truth):,} images of {self.images}"
        return answers, f"{' and '.join(path.name for path in _answered_by(self.model, answers))} on {what}"


def _answered_by(model: Path | None, answers: Answers) -> list[Path]:
    """Return the model files that answered, the one that answered more first."""
    from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL

    if model is not None:
        return [model]
    photos = answers.by_photo_model
    counts = {EMBEDDED_PHOTO_MODEL: photos, EMBEDDED_CLASSIFIER: len(answers.truth) - photos}
    return sorted(filter(counts.get, counts), key=lambda path: -counts[path])


def _progress(total: int) -> Any:
    """Return a bar for standard error, which shows nothing where no person watches."""
    return click.progressbar(length=total, label="Classifying", file=sys.stderr, hidden=not shows_progress())


def _watched(results: Iterable[Result], bar: Any) -> Iterator[Result]:
    from fmnist_edge.errors import printable

    for result in results:
        bar.update(1)
        if result.error:
            note(f"{printable(result.path)}: {click.style('error', fg='red')}: {printable(str(result.error))}")
        yield result


def _require_extra() -> None:
    from importlib.util import find_spec

    from fmnist_edge.errors import MissingExtraError

    for module in ("matplotlib", "jinja2"):
        if find_spec(module) is None:
            raise MissingExtraError("evaluate --report", "plot", module)


def _write_report(
    folder: Path, model: Path | None, record: Path | None, measured: tuple[str, Answers, Evaluation]
) -> None:
    from fmnist_bench.charts import read_training_record
    from fmnist_bench.evaluation_report import Subject, write_report
    from fmnist_edge.onnx_reader import first_layer
    from fmnist_edge.session import inspect_model

    history = read_training_record(record) if record is not None else None
    answered = _answered_by(model, measured[1])[0]
    subject = Subject(*measured, inspect_model(answered), first_layer(answered), history)
    note(f"wrote {write_report(subject, folder)}")


def _print(text: str, output: Path | None) -> None:
    if output is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")  # for terminals that know less than Unicode
        click.echo(text, nl=False)
        return
    from fmnist_edge.atomic import write_atomically

    write_atomically(output, click.unstyle(text))
