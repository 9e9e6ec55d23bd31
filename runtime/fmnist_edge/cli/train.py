"""`fmnist-edge train`: make the Keras original of the classifier."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fmnist_edge.cli.options import common_options, data_option, note, output_folder_option, shows_progress
from fmnist_edge.errors import MissingExtraError

if TYPE_CHECKING:
    from fmnist_train.recipes import Recipe

RECIPE_NAMES: Final = ("default", "tutorial")  # of fmnist_train.recipes, which --help does not import
LINES_A_RUN: Final = 10  # of progress, where no terminal shows a bar

OnEpoch = Callable[[int, Mapping[str, float]], None]


@click.command("train")
@click.option(
    "--part",
    type=click.Choice(["classifier"]),
    default="classifier",
    show_default=True,
    help="Which network to train.",
)
@click.option(
    "--recipe",
    "recipe_name",
    type=click.Choice(RECIPE_NAMES),
    default="default",
    show_default=True,
    help="How to train it.",
)
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="Epochs instead of the recipe's.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1, max=60_000),
    metavar="N",
    help="Images a step instead of the recipe's.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**32 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Decides first weights, order and augmentation: the same seed gives the same file on one machine.",
)
@data_option
@output_folder_option
@click.option("--resume", is_flag=True, help="Go on after the last finished epoch of an interrupted training.")
@common_options
def command(
    part: str,
    recipe_name: str,
    epochs: int | None,
    batch_size: int | None,
    seed: int,
    data: Path | None,
    output: Path,
    resume: bool,
) -> None:
    """Train the classifier with Keras and write fmnist-mlp.keras, training.json and curves.png to a folder.

    `default` is what the shipped model is made by (about three minutes on one core), `tutorial` the ten
    epochs of the tutorial that this project grew from. Needs the extra [train].
    """
    del part  # one choice so far
    _require_extra()
    from fmnist_train.recipes import named_recipe
    from fmnist_train.training import train

    recipe = named_recipe(recipe_name, epochs=epochs, batch_size=batch_size)
    if not resume:
        _announce_discarded(recipe, seed, output)
    with _progress(recipe.epochs) as on_epoch, _resume_hint(output):
        training = train(recipe, seed, output, data=data, resume=resume, on_epoch=on_epoch)
    click.echo(_summary(training.record, training.files))


def _require_extra() -> None:
    """Raise MissingExtraError, before anything else happens, if TensorFlow or matplotlib is not installed."""
    from importlib.util import find_spec

    for module, name in (("tensorflow", "TensorFlow"), ("keras", "Keras"), ("matplotlib", "matplotlib")):
        if find_spec(module) is None:
            raise MissingExtraError("train", "train", name)


def _announce_discarded(recipe: Recipe, seed: int, output: Path) -> None:
    from fmnist_train.training import backup_for

    if backup_for(recipe, seed, output).exists():
        note(f"discarding the interrupted training in {output} (--resume would go on with it)")


@contextmanager
def _progress(epochs: int) -> Iterator[OnEpoch]:
    """Show a bar on a terminal, else a line now and then; nothing with -q."""
    if shows_progress():
        progress: Any = click.progressbar(length=epochs, label="training", file=sys.stderr, item_show_func=_shown)
        with progress as bar:
            yield lambda epoch, figures: bar.update(epoch - bar.pos, figures)
    else:
        every = max(1, epochs // LINES_A_RUN)
        yield partial(_note_epoch, epochs, every)


def _note_epoch(epochs: int, every: int, epoch: int, figures: Mapping[str, float]) -> None:
    if epoch % every == 0 or epoch == epochs:
        note(f"epoch {epoch}/{epochs}: {_figures(figures)}")


def _shown(figures: Any) -> str | None:
    return _figures(figures) if figures else None


def _figures(figures: Mapping[str, float]) -> str:
    validation = f", validation {figures['val_accuracy']:.4f}" if "val_accuracy" in figures else ""
    return f"loss {figures['loss']:.4f}, accuracy {figures['accuracy']:.4f}{validation}"


@contextmanager
def _resume_hint(output: Path) -> Iterator[None]:
    """On Ctrl-C, say that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"\ninterrupted; the same command with --resume goes on after the last finished epoch in {output}")
        raise


def _summary(record: Mapping[str, Any], files: tuple[Path, ...]) -> str:
    accuracies = ", ".join(f"{split} {value:.4f}" for split, value in record["accuracy"].items())
    lines = [f"accuracy: {accuracies}"]
    calibration = record["calibration"]
    if calibration["temperature"] is not None:
        before = calibration["expected_calibration_error_before"]["validation"]
        after = calibration["expected_calibration_error"]["validation"]
        lines.append(
            f"temperature: {calibration['temperature']:.4f} folded in; "
            f"expected calibration error on validation images {before:.4f} before, {after:.4f} after"
        )
    return "\n".join([*lines, "wrote " + ", ".join(str(path) for path in files)])
