"""`fmnist-edge train`: make the Keras originals of the classifier and of the photo model's two parts."""

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

# Names of each part's recipes, in fmnist_train.recipes and fmnist_train.photo.recipes: --help imports neither.
RECIPES: Final = {
    "classifier": ("default", "tutorial"),
    "segmenter": ("default", "photos"),
    "photo-head": ("default", "fmnist-only"),
}
BEHIND_A_SEGMENTER: Final = {("segmenter", "photos"), ("photo-head", "default"), ("photo-head", "fmnist-only")}
ON_PHOTOS: Final = {("segmenter", "photos"), ("photo-head", "default")}
LINES_A_RUN: Final = 10  # of progress, where no terminal shows a bar

OnEpoch = Callable[[int, Mapping[str, float]], None]


@click.command("train")
@click.option(
    "--part",
    type=click.Choice(list(RECIPES)),
    default="classifier",
    show_default=True,
    help="Which network to train.",
)
@click.option(
    "--recipe",
    "recipe_name",
    type=click.Choice(sorted({name for names in RECIPES.values() for name in names})),
    default="default",
    show_default=True,
    help="How to train it: tutorial is the classifier's, photos the segmenter's, fmnist-only the photo head's.",
)
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="Epochs instead of the recipe's (classifier).")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1, max=60_000),
    metavar="N",
    help="Images a step instead of the recipe's (classifier).",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**32 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Decides first weights, order and augmentation: the same seed gives the same file on one machine.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=2),
    metavar="N",
    help="Train N seeds, from --seed on, quantize each, and keep the one best on validation images (classifier).",
)
@data_option
@click.option(
    "--photos",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Photos to train on (default: $FMNIST_PHOTOS, then the user's cache).",
)
@click.option(
    "--segmenter",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="The segmenter's .keras file: to tune it (recipe photos), or to train the photo head behind it.",
)
@output_folder_option
@click.option("--resume", is_flag=True, help="Go on after an interrupted training's last finished epoch (classifier).")
@common_options
def train(
    part: str,
    recipe_name: str,
    epochs: int | None,
    batch_size: int | None,
    seed: int,
    seeds: int | None,
    data: Path | None,
    photos: Path | None,
    segmenter: Path | None,
    output: Path,
    resume: bool,
) -> None:
    """Train a network with Keras and write its .keras file and the record of its training to a folder.

    The classifier's `default` is what the shipped model is made by (about three minutes on one core), `tutorial` the
    ten epochs of the tutorial that this project grew from. The photo model has two parts: the segmenter, trained on
    drawn scenes of Fashion-MNIST's garments (`default`) and then tuned on the labels of real photos (`photos`), and
    behind it the photo head, trained on real photos (`default`) or on Fashion-MNIST alone (`fmnist-only`). Needs the
    extra [train].
    """
    _require_recipe(part, recipe_name)
    classifier_only = {"--epochs": epochs, "--batch-size": batch_size, "--seeds": seeds, "--resume": resume or None}
    _refuse(classifier_only if part != "classifier" else {}, f"--part {part}")
    behind = (part, recipe_name) in BEHIND_A_SEGMENTER
    _refuse({"--segmenter": segmenter} if not behind else {}, f"--part {part}")
    _refuse({"--photos": photos} if (part, recipe_name) not in ON_PHOTOS else {}, f"--part {part}")
    if behind and segmenter is None:
        given = f"--part {part} --recipe {recipe_name}"
        raise click.UsageError(f"{given} needs --segmenter FILE, the .keras file of a trained segmenter.")
    _require_extra()
    if part == "segmenter":
        _train_segmenter(recipe_name, seed, output, segmenter, data, photos)
    elif segmenter is not None:
        _train_head(recipe_name, seed, output, segmenter, data, photos)
    elif seeds is not None:
        _train_seeds(recipe_name, epochs, batch_size, range(seed, seed + seeds), data, output, resume)
    else:
        _train_classifier(recipe_name, epochs, batch_size, seed, data, output, resume)


def _require_recipe(part: str, recipe: str) -> None:
    if recipe not in RECIPES[part]:
        raise click.UsageError(f"--part {part} has no recipe '{recipe}'; it has: {', '.join(RECIPES[part])}.")


def _refuse(options: Mapping[str, object], context: str) -> None:
    """Raise UsageError for the first option that was given: it can have no effect."""
    for option, value in options.items():
        if value is not None:
            raise click.UsageError(f"{option} has no effect with {context} and this recipe.")


def _train_segmenter(
    recipe_name: str, seed: int, output: Path, segmenter: Path | None, data: Path | None, photos: Path | None
) -> None:
    from fmnist_train.photo.recipes import SEGMENTER_RECIPES, TUNING_RECIPES
    from fmnist_train.photo.segmenter_training import train_segmenter
    from fmnist_train.photo.tuned_training import train_tuned_segmenter

    if segmenter is None:
        training = train_segmenter(SEGMENTER_RECIPES[recipe_name], seed, output, data=data, report=note)
    else:
        recipe = TUNING_RECIPES[recipe_name]
        training = train_tuned_segmenter(recipe, seed, output, segmenter, data=data, photos=photos, report=note)
    click.echo("wrote " + ", ".join(str(path) for path in training.files))


def _train_head(
    recipe_name: str, seed: int, output: Path, segmenter: Path, data: Path | None, photos: Path | None
) -> None:
    from fmnist_train.photo.head_training import train_head
    from fmnist_train.photo.recipes import HEAD_RECIPES

    training = train_head(HEAD_RECIPES[recipe_name], seed, output, segmenter, data=data, photos=photos, report=note)
    held_out = training.record["held_out"]
    click.echo(f"accuracy on {held_out['pictures']} held-out pictures: {held_out['accuracy']:.4f}")
    click.echo("wrote " + ", ".join(str(path) for path in training.files))


def _train_classifier(
    recipe_name: str,
    epochs: int | None,
    batch_size: int | None,
    seed: int,
    data: Path | None,
    output: Path,
    resume: bool,
) -> None:
    from fmnist_train import training as trainings
    from fmnist_train.recipes import named_recipe

    recipe = named_recipe(recipe_name, epochs=epochs, batch_size=batch_size)
    if not resume:
        _announce_discarded(recipe, seed, output)
    with _progress(recipe.epochs) as on_epoch, _resume_hint(output):
        training = trainings.train(recipe, seed, output, data=data, resume=resume, on_epoch=on_epoch)
    click.echo(_summary(training.record, training.files))


def _train_seeds(
    recipe_name: str,
    epochs: int | None,
    batch_size: int | None,
    seeds: range,
    data: Path | None,
    output: Path,
    resume: bool,
) -> None:
    from fmnist_train.recipes import named_recipe
    from fmnist_train.seeds import keep_chosen, train_seeds

    try:
        from fmnist_convert.seeds import chosen, convert_seed, seed_facts, seed_table
    except ModuleNotFoundError as error:
        raise MissingExtraError("convert", "convert", str(error.name)) from error
    recipe = named_recipe(recipe_name, epochs=epochs, batch_size=batch_size)
    with _resume_hint(output):
        trainings = train_seeds(
            recipe, seeds, output, data=data, resume=resume, on_seed=partial(_on_seed, recipe.epochs)
        )
    results = [convert_seed(training.files[0], data) for training in trainings]
    click.echo(seed_table(results))
    best = chosen(results)
    files = keep_chosen(output, seed_facts(results), None if best is None else best.folder)
    click.echo("wrote " + ", ".join(str(path) for path in files))


def _on_seed(epochs: int, seed: int) -> OnEpoch:
    """Say which seed is trained, then a line now and then: several bars would only follow each other."""
    note(f"seed {seed}")
    return partial(_note_epoch, epochs, max(1, epochs // LINES_A_RUN))


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
