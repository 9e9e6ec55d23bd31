"""`fmnist-edge plot`: see the data, the answers and the model. Needs the extra [plot]."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from fmnist_bench.cli.evaluate import Request, require_plot_extra, subject_options
from fmnist_edge.cli.options import (
    FILE,
    OUTPUT_FILE,
    Function,
    check_outputs,
    common_options,
    data_option,
    model_option,
    overwrite_option,
)

if TYPE_CHECKING:
    from fmnist_bench.labelled import Answers
    from fmnist_bench.plots import Plot
    from fmnist_edge.classifier import Classifier

INPUTS: Final = ("image", "model", "record", "data", "images")  # parameters that name files to read
TUTORIAL_SAMPLE: Final = 20_000  # the training image that the tutorial shows
SPLITS: Final = click.Choice(["train", "validation", "test"])

index_option = click.option("--index", type=click.IntRange(min=0), metavar="N", help="Index of an image in the split.")


def split_option(default: str) -> Callable[[Function], Function]:
    """Add --split with a default."""
    return click.option("--split", type=SPLITS, default=default, show_default=True, help="Images of the dataset.")


def count_option(count: int) -> Callable[[Function], Function]:
    """Add --count with a default."""
    kind = click.IntRange(1, 100)
    return click.option("--count", type=kind, default=count, show_default=True, metavar="N", help="Images to show.")


def file_options(name: str) -> Callable[[Function], Function]:
    """Add -o/--output, `name`.png by default, --dpi and --overwrite, and check them before the command runs."""

    def add(function: Function) -> Function:
        @wraps(function)
        def checked(*, output: Path, overwrite: bool, **given: Any) -> None:
            inputs = [given.get(option) for option in INPUTS]
            check_outputs([output], [*inputs, *given.get("pictures", ())], overwrite=overwrite)
            require_plot_extra("plot", "matplotlib")
            function(output=output, **given)

        dpi, default = click.IntRange(20, 1200), Path(f"{name}.png")
        click.option("--dpi", type=dpi, default=150, show_default=True, help="Dots per inch.")(checked)
        where: dict[str, Any] = {"type": OUTPUT_FILE, "default": default, "show_default": True, "metavar": "FILE"}
        click.option("-o", "--output", help="The plot: .png, .svg or .pdf.", **where)(checked)
        return cast(Function, common_options(overwrite_option(checked)))

    return add


@click.group("plot")
@common_options
def command() -> None:
    """Draw the data, a model and its answers. As png, svg or pdf."""


@command.command()
@split_option("train")
@click.option("--index", type=click.IntRange(min=0), metavar="N", help="The image.  [default: 20000 of train, else 0]")
@count_option(25)
@click.option("--label", metavar="LABEL", help="Only images of this label, from the index on.")
@data_option
@file_options("samples")
def samples(
    split: Any, index: int | None, count: int, label: str | None, data: Path | None, output: Path, dpi: int
) -> None:
    """One image with its pixel scale. Beside it a grid of the images around it with their names."""
    from fmnist_bench.labelled import parse_label
    from fmnist_bench.plots import samples_plot
    from fmnist_edge.dataset import load_split

    wanted = None if label is None else parse_label(label)
    start = index if index is not None else TUTORIAL_SAMPLE if split == "train" else 0
    _save(samples_plot(load_split(split, data), split, start, count, wanted), output, dpi)


@command.command()
@click.argument("image", required=False, type=click.Path(readable=False), metavar="[IMAGE]")
@index_option
@click.option("--split", type=SPLITS, help="Of the index.  [default: test]")
@click.option("--truth", metavar="LABEL", help="The correct label of IMAGE, if you know it.")
@model_option
@data_option
@file_options("prediction")
def prediction(
    image: str | None, index: int | None, split: Any, truth: str | None, model: Path | None, data: Path | None,
    output: Path, dpi: int,
) -> None:  # fmt: skip
    """One image beside its ten probabilities. The correct label is blue, a wrong answer red.

    For a photo, the original comes first, then its heat map.
    """
    if (image is None) == (index is None):
        raise click.UsageError("Give either IMAGE or --index N.")
    if image is None and truth is not None:
        raise click.UsageError("--truth goes with IMAGE: the dataset knows the label of --index.")
    if image is not None and (split or data):
        raise click.UsageError("--split and --data go with --index.")
    from fmnist_bench.labelled import parse_label
    from fmnist_bench.plots import answered_file, answered_images, prediction_plot
    from fmnist_edge.classifier import Classifier

    right = parse_label(truth) if truth is not None else None
    classifier = Classifier(model)
    if image is not None:
        _save(prediction_plot(answered_file(classifier, image, right)), output, dpi)
    else:
        _save(prediction_plot(answered_images(classifier, split or "test", data, index or 0, 1)[0]), output, dpi)


@command.command()
@split_option("test")
@index_option
@count_option(15)
@model_option
@data_option
@file_options("predictions")
def predictions(
    split: Any, index: int | None, count: int, model: Path | None, data: Path | None, output: Path, dpi: int
) -> None:
    """A grid of images, each beside its probabilities. From --index on (0 by default)."""
    from fmnist_bench.plots import answered_images, predictions_plot
    from fmnist_edge.classifier import Classifier

    first = index or 0
    answers = answered_images(Classifier(model), split, data, first, count)
    title = f"{split} images {first} to {first + len(answers) - 1}"
    _save(predictions_plot(answers, title=title), output, dpi)


@command.command()
@subject_options
@file_options("confusion")
def confusion(output: Path, dpi: int, **subject: Any) -> None:
    """The confusion matrix. It shows which label is taken for which."""
    from fmnist_bench.charts import confusion_plot
    from fmnist_bench.evaluate import evaluate

    _, answers, title = _answered(subject)
    _save(confusion_plot(evaluate(answers), title), output, dpi)


@command.command()
@subject_options
@file_options("calibration")
def calibration(output: Path, dpi: int, **subject: Any) -> None:
    """Accuracy by confidence. Also accuracy when the unsure are left out."""
    from fmnist_bench.charts import calibration_plot
    from fmnist_bench.evaluate import evaluate

    _, answers, title = _answered(subject)
    _save(calibration_plot(evaluate(answers), title), output, dpi)


@command.command()
@count_option(15)
@subject_options
@file_options("mistakes")
def mistakes(output: Path, dpi: int, count: int, **subject: Any) -> None:
    """The most confident errors."""
    from fmnist_bench.plots import mistakes_plot

    classifier, answers, title = _answered(subject)
    _save(mistakes_plot(answers, count, title, classifier), output, dpi)


def _answered(subject: dict[str, Any]) -> tuple[Classifier, Answers, str]:
    """Return the classifier, its answers to pictures of garments, and a title."""
    request = Request(**subject)
    request.check()
    classifier = request.classifier()
    answers, title = request.answers(classifier)
    return classifier, answers.garments, title


@command.command()
@click.argument("record", type=FILE, metavar="TRAINING.json")
@file_options("curves")
def curves(record: Path, output: Path, dpi: int) -> None:
    """Loss and accuracy by epoch. From the record that `fmnist-edge train` writes."""
    from fmnist_bench.charts import curves_plot, read_training_record

    _save(curves_plot(read_training_record(record)), output, dpi)


@command.command()
@model_option
@file_options("weights")
def weights(model: Path | None, output: Path, dpi: int) -> None:
    """The first layer's weights as 28x28 images. They show what each hidden unit looks for."""
    from fmnist_bench.plots import weights_plot
    from fmnist_edge.model_info import EMBEDDED_CLASSIFIER
    from fmnist_edge.onnx_reader import first_layer

    path = model or EMBEDDED_CLASSIFIER
    _save(weights_plot(first_layer(path), path.name), output, dpi)


def _save(plot: Plot, output: Path, dpi: int) -> None:
    from fmnist_bench.plots import save

    save(plot, output, dpi=dpi)
    click.echo(f"wrote {output}")
