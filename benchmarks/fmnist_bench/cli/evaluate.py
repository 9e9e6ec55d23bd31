"""`fmnist-edge evaluate`: how good is a model, and where is it wrong?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fmnist_edge.cli.options import (
    FILE,
    FOLDER,
    OUTPUT_FILE,
    Function,
    check_outputs,
    chosen_form,
    common_options,
    data_option,
    format_option,
    model_option,
    note,
    output_file_option,
    overwrite_option,
    progress_bar,
)
from fmnist_edge.errors import EXIT_FAILED

if TYPE_CHECKING:
    from fmnist_bench.evaluate import Evaluation
    from fmnist_bench.labelled import Answers, Example
    from fmnist_edge.batch import Result
    from fmnist_edge.classifier import Classifier

_PHOTO_HINT: Final = (
    "answers pictures, not 28x28 images of the dataset; name pictures with --images DIR or --pictures DIR, "
    "or add --enlarged"
)

FORMS: Final = ("text", "json", "csv")

_SUBJECT_OPTIONS: Final[tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...]] = (
    model_option,
    click.option(
        "--images",
        type=FOLDER,
        metavar="DIR",
        help="A folder with a sub-folder of images for each label, instead of the dataset.",
    ),
    click.option(
        "--map",
        "mapping",
        metavar="NAME=LABEL,...",
        help="Labels of sub-folders with other names; NAME=LABEL|LABEL accepts several, NAME= leaves it out.",
    ),
    click.option("--skip", multiple=True, metavar="NAME", help="Leave a sub-folder out; may be repeated."),
    click.option(
        "--pictures",
        type=FILE,
        multiple=True,
        metavar="DIR|ZIP",
        help="Pictures with a labels.csv, or in folders named by class; may be repeated. Shows unsure answers too.",
    ),
    click.option("--enlarged", is_flag=True, help="Images of the dataset as pictures of 280x280, in both polarities."),
    click.option(
        "--split",
        type=click.Choice(["train", "validation", "test"]),
        help="Part of the dataset or of --pictures.  [default: test of the dataset, validation of pictures]",
    ),
    data_option,
)


def subject_options(function: Function) -> Function:
    """Add the options for the model and the images, which become the fields of `Request`."""
    for option in reversed(_SUBJECT_OPTIONS):
        option(function)
    return function


@click.command("evaluate")
@subject_options
@click.option(
    "--forgive",
    multiple=True,
    metavar="LABEL,LABEL,...",
    help='Count these labels as one, as in "T-shirt/top,Pullover,Shirt"; may be repeated.',
)
@format_option(*FORMS, help_text="Output format; csv has one line per figure.")
@output_file_option
@click.option(
    "--report",
    type=FOLDER,
    metavar="DIR",
    help="Also write a page with plots, mistakes and the model card to DIR/index.html.",
)
@click.option(
    "--training-record",
    type=OUTPUT_FILE,
    metavar="FILE",
    help="The training.json whose curves the report shows.",
)
@overwrite_option
@common_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    forgive: tuple[str, ...],
    output_format: str | None,
    output: Path | None,
    report: Path | None,
    training_record: Path | None,
    overwrite: bool,
    **subject: Any,
) -> None:
    """Measure a model on labelled images. Accuracy, errors by class, calibration, accuracy without the unsure.

    The best class counts, even if it is unsure. Images that can't be read are reported and left out; the exit code is
    then 1.

    With --pictures, a table says for each collection how many answers are not unsure, how many of these are correct,
    and how many pictures without a garment are unsure.
    """
    request = Request(**subject)
    request.check()
    if training_record is not None and report is None:
        raise click.UsageError("--training-record goes into the report: add --report DIR.")
    page = report / "index.html" if report is not None else None
    check_outputs([output, page], [*request.inputs, training_record], overwrite=overwrite)
    if report is not None:
        require_plot_extra("evaluate --report", "matplotlib", "jinja2")
    from fmnist_bench.evaluate import evaluate
    from fmnist_bench.evaluation_formats import FORMATTERS
    from fmnist_bench.labelled import parse_group
    from fmnist_edge.cli.output import write_rows

    forgiven = [parse_group(group) for group in forgive]
    classifier = request.classifier()
    answers, title = request.answers(classifier)
    evaluation = evaluate(answers, forgiven)
    write_rows([FORMATTERS[chosen_form(output_format, output, *FORMS)](evaluation, title)], output)
    if report is not None:
        _write_report(report, classifier, training_record, (title, answers, evaluation))
    if evaluation.unreadable:
        ctx.exit(EXIT_FAILED)


@dataclass(frozen=True)
class Request:
    """Which model to ask about which images: the values of `subject_options`."""

    model: Path | None
    images: Path | None
    mapping: str | None
    skip: tuple[str, ...]
    pictures: tuple[Path, ...]
    enlarged: bool
    split: Any
    data: Path | None

    @property
    def inputs(self) -> tuple[Path | None, ...]:
        """The paths that are read, which no output may be among."""
        return (self.model, self.images, self.data, *self.pictures)

    def check(self) -> None:
        """Raise UsageError for an option that would have no effect."""
        if self.images is None and (self.mapping is not None or self.skip):
            raise click.UsageError("--map and --skip name sub-folders of --images DIR, which is not given.")
        if self.images is not None and (self.pictures or self.enlarged):
            raise click.UsageError("Give either --images, or --pictures and --enlarged.")
        if self.images is not None and self.split:
            raise click.UsageError("--split chooses images of the dataset or of --pictures; --images takes its place.")
        if self.data and (self.images is not None or (self.pictures and not self.enlarged)):
            raise click.UsageError("--data has no effect: no image of the dataset is evaluated.")
        if self.pictures and self.split == "test":
            raise click.UsageError("Pictures have the parts train and validation, not test.")

    def classifier(self) -> Classifier:
        """Open the model. Raises ModelError, or UsageError for one that doesn't answer such images."""
        from fmnist_edge.classifier import Classifier
        from fmnist_edge.errors import UsageError

        classifier = Classifier(self.model)
        if classifier.route == "photo" and self.images is None and not self.pictures and not self.enlarged:
            raise UsageError(f"{classifier.path} {_PHOTO_HINT}")
        return classifier

    def answers(self, classifier: Classifier) -> tuple[Answers, str]:
        """Return the model's answers, and a title that says which model saw what."""
        from fmnist_bench.labelled import answer_examples, answer_split

        if self.images is None and not self.pictures and not self.enlarged:
            split: Any = self.split or "test"
            answers = answer_split(classifier, split, self.data)
            what = f"{split} images of Fashion-MNIST"
        else:
            examples = self._examples()
            with progress_bar("Classifying", len(examples)) as bar:
                answers = answer_examples(classifier, examples, lambda results: _watched(results, bar))
            what = "pictures" if self.images is None else f"images of {self.images}"
        return answers, f"{' and '.join(answers.models) or classifier.path.name} on {len(answers.truth):,} {what}"

    def _examples(self) -> list[Example]:
        from fmnist_bench.labelled import enlarged_examples, folder_examples, parse_map, picture_examples

        if self.images is not None:
            return folder_examples(self.images, parse_map(self.mapping) if self.mapping is not None else {}, self.skip)
        examples = picture_examples(self.pictures, self.split or "validation") if self.pictures else []
        return examples + (enlarged_examples(self.split or "test", self.data) if self.enlarged else [])


def _watched(results: Iterable[Result], bar: Any) -> Iterator[Result]:
    from fmnist_edge.errors import printable

    for result in results:
        bar.update(1)
        if result.error:
            note(f"{printable(result.path)}: {click.style('error', fg='red')}: {printable(str(result.error))}")
        yield result


def require_plot_extra(command: str, *modules: str) -> None:
    """Raise MissingExtraError if one of the modules that the extra [plot] installs is missing."""
    from importlib.util import find_spec

    from fmnist_edge.errors import MissingExtraError

    for module in modules:
        if find_spec(module) is None:
            raise MissingExtraError(command, "plot", module)


def _write_report(
    folder: Path, classifier: Classifier, record: Path | None, measured: tuple[str, Answers, Evaluation]
) -> None:
    from fmnist_bench.charts import read_training_record
    from fmnist_bench.evaluation_report import PAGE, Subject, report_html
    from fmnist_edge.atomic import write_atomically
    from fmnist_edge.model_info import EMBEDDED_PHOTO_MODEL
    from fmnist_edge.session import inspect_model

    history = read_training_record(record) if record is not None else None
    first = next(iter(measured[1].models), classifier.path.name)
    answered = EMBEDDED_PHOTO_MODEL if first == EMBEDDED_PHOTO_MODEL.name != classifier.path.name else classifier.path
    write_atomically(folder / PAGE, report_html(Subject(*measured, inspect_model(answered), classifier, history)))
    note(f"wrote {folder / PAGE}")
