"""`fmnist-edge train`: make the Keras originals of the dataset classifier and of the photo model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fmnist_edge.cli.options import (
    FOLDER,
    check_outputs,
    common_options,
    data_option,
    note,
    output_folder_option,
    overwrite_option,
    progress_bar,
    shows_progress,
)
from fmnist_edge.errors import MissingExtraError

if TYPE_CHECKING:
    from fmnist_train.backup import Backup

# Names of each part's recipes, in fmnist_train.recipes: --help does not import it.
RECIPES: Final = {"classifier": ("default", "tutorial"), "photo": ("photo",)}
LINES_A_RUN: Final = 10  # of progress, where no terminal shows a bar
BAR_SECONDS: Final = 0.5  # between two updates of a bar

OnEpoch = Callable[[int, Mapping[str, float]], None]
Show = Callable[[str, int, int, Mapping[str, float]], None]


@click.command("train")
@click.option(
    "--part",
    type=click.Choice(list(RECIPES)),
    default="classifier",
    show_default=True,
    help="Which network to train: the dataset classifier or the photo model.",
)
@click.option(
    "--recipe",
    "recipe_name",
    type=click.Choice(RECIPES["classifier"]),
    help="How to train the classifier.  [default: default]",
)
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="Epochs, instead of the recipe's.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1, max=60_000),
    metavar="N",
    help="Images per step, instead of the recipe's.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**32 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Decides first weights, order and augmentation.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=2),
    metavar="N",
    help="Train N seeds, from --seed on, and keep the one best on validation images (classifier).",
)
@data_option
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, exists=True, readable=False),
    multiple=True,
    metavar="PATH",
    help="Pictures to train the photo model on: a folder or zip file with labels.csv (path,labels) or a folder for "
    "each class; may be repeated.  [default: the photos (see --photos) and what $FMNIST_PICTURES names]",
)
@click.option(
    "--photos",
    type=FOLDER,
    metavar="DIR",
    help="The public phone photos, if not in $FMNIST_PHOTOS or the user's cache (photo model).",
)
@output_folder_option
@overwrite_option
@click.option("--resume", is_flag=True, help="Continue an interrupted training after its last finished epoch.")
@common_options
def train(
    part: str,
    recipe_name: str | None,
    epochs: int | None,
    batch_size: int | None,
    seed: int,
    seeds: int | None,
    data: Path | None,
    pictures: tuple[Path, ...],
    photos: Path | None,
    output: Path,
    overwrite: bool,
    resume: bool,
) -> None:
    """Train a network with Keras. Writes its .keras file and the record of its training to a folder.

    The classifier's recipe `default` made the shipped model (five to ten minutes on one core); `tutorial` is
    the ten epochs of the tutorial that this project grew from (under a minute). The photo model (--part photo) takes
    about 40 minutes on two cores. Needs the extra [train].
    """
    options = _Options(epochs, batch_size, seed, data, output, overwrite, resume)
    if part == "photo":
        _refuse({"--recipe": recipe_name, "--seeds": seeds}, "--part photo")
        _require_extra()
        _train_photo(options, pictures, photos)
        return
    _refuse({"--pictures": pictures or None, "--photos": photos}, "--part classifier")
    recipe_name = recipe_name or "default"
    if seeds and recipe_name == "tutorial":
        raise click.UsageError("--seeds chooses by validation images, and the recipe tutorial keeps none out.")
    _require_extra()
    if seeds:
        _train_seeds(options, recipe_name, range(seed, seed + seeds))
    else:
        _train_classifier(options, recipe_name)


@dataclass(frozen=True)
class _Options:
    """What every kind of training is given."""

    epochs: int | None
    batch_size: int | None
    seed: int
    data: Path | None
    output: Path
    overwrite: bool
    resume: bool


def _refuse(options: Mapping[str, object], context: str) -> None:
    """Raise UsageError for the first option that was given: it can have no effect."""
    for option, value in options.items():
        if value is not None:
            raise click.UsageError(f"{option} has no effect with {context}.")


def _require_extra() -> None:
    """Raise MissingExtraError, before anything else happens, if TensorFlow is not installed."""
    from importlib.util import find_spec

    for module, name in (("tensorflow", "TensorFlow"), ("keras", "Keras")):
        if find_spec(module) is None:
            raise MissingExtraError("train", "train", name)


def _train_photo(options: _Options, pictures: tuple[Path, ...], photos: Path | None) -> None:
    from fmnist_edge.pictures import named_collections
    from fmnist_train.photo_fit import MODEL_FILE, RECORD_FILE, photo_backup, train_photo
    from fmnist_train.recipes import named_photo_recipe

    collections = named_collections(pictures, photos)
    files = [options.output / MODEL_FILE, options.output / RECORD_FILE]
    check_outputs(files, collections, overwrite=options.overwrite)
    recipe = named_photo_recipe(epochs=options.epochs, batch_size=options.batch_size)
    backup = photo_backup(recipe, options.seed, options.output)
    _announce_discarded(backup, options)
    note(f"reading pictures from {', '.join(map(str, collections))}")
    with _bars("step") as show, _resume_hint(backup, options.output):
        training = train_photo(
            recipe,
            options.seed,
            options.output,
            collections,
            data=options.data,
            resume=options.resume,
            on_read=lambda done, total: show("reading", done, total, {}),
            on_step=lambda step, figures: show("training", step, recipe.epochs * recipe.steps, figures),
        )
    click.echo(_photo_summary(training.record, training.files))


def _train_classifier(options: _Options, recipe_name: str) -> None:
    from fmnist_train.fit import MODEL_FILE, RECORD_FILE, backup_for, train
    from fmnist_train.recipes import named_recipe

    files = [options.output / MODEL_FILE, options.output / RECORD_FILE]
    check_outputs(files, [options.data], overwrite=options.overwrite)
    recipe = named_recipe(recipe_name, epochs=options.epochs, batch_size=options.batch_size)
    backup = backup_for(recipe, options.seed, options.output)
    _announce_discarded(backup, options)
    with _bars("epoch") as show, _resume_hint(backup, options.output):
        training = train(
            recipe,
            options.seed,
            options.output,
            data=options.data,
            resume=options.resume,
            on_epoch=lambda epoch, figures: show("training", epoch, recipe.epochs, figures),
        )
    click.echo(_summary(training.record, training.files))


def _train_seeds(options: _Options, recipe_name: str, seeds: range) -> None:
    from fmnist_train import fit
    from fmnist_train.recipes import named_recipe

    folders = [options.output, *(fit.seed_folder(options.output, seed) for seed in seeds)]
    files = [folder / name for folder in folders for name in (fit.MODEL_FILE, fit.RECORD_FILE)]
    check_outputs([*files, options.output / fit.SEEDS_FILE], [options.data], overwrite=options.overwrite)
    recipe = named_recipe(recipe_name, epochs=options.epochs, batch_size=options.batch_size)
    last: list[Backup] = []

    def on_seed(seed: int) -> OnEpoch:
        """Say which seed is trained, then a line now and then: several bars would only follow each other."""
        last[:] = [fit.backup_for(recipe, seed, fit.seed_folder(options.output, seed))]
        note(f"seed {seed}")
        note_figures = _notes("epoch")
        return lambda epoch, figures: note_figures(epoch, recipe.epochs, figures)

    with _resume_hint(last, options.output):
        trainings = fit.train_seeds(
            recipe, seeds, options.output, data=options.data, resume=options.resume, on_seed=on_seed
        )
    written = fit.keep_chosen(options.output, trainings)
    click.echo(_seed_table(fit.seed_figures(trainings)))
    click.echo("wrote " + ", ".join(str(path) for path in written))


def _announce_discarded(backup: Backup, options: _Options) -> None:
    if not options.resume and backup.exists():
        note(f"discarding the interrupted training in {options.output} (--resume would go on with it)")


@contextmanager
def _bars(unit: str) -> Iterator[Show]:
    """Show a bar for each phase on a terminal, else a line a tenth; called with phase, done, total and figures."""
    with ExitStack() as bars:
        bar: Any = None
        current, shown = "", 0.0
        note_figures = _notes(unit)

        def show(phase: str, done: int, total: int, figures: Mapping[str, float]) -> None:
            nonlocal bar, current, shown
            if phase != current:
                bars.close()
                bar, current = bars.enter_context(progress_bar(phase, total, _brief)), phase
            if done < total and time.monotonic() - shown < BAR_SECONDS:
                return
            shown = time.monotonic()
            bar.update(done - bar.pos, figures)

        def tell(_phase: str, done: int, total: int, figures: Mapping[str, float]) -> None:
            if unit == "epoch" or "val_loss" in figures:
                note_figures(done, total, figures)

        yield show if shows_progress() else tell


def _notes(unit: str) -> Callable[[int, int, Mapping[str, float]], None]:
    """Return what notes figures about LINES_A_RUN times in a run; called with done, total and figures."""
    tenth = 0

    def note_figures(done: int, total: int, figures: Mapping[str, float]) -> None:
        nonlocal tenth
        if done * LINES_A_RUN // total > tenth:
            tenth = done * LINES_A_RUN // total
            note(f"{unit} {done:,}/{total:,}: {_figures(figures)}")

    return note_figures


def _brief(figures: Mapping[str, float]) -> str:
    """Return what fits beside a bar."""
    which = "validation" if "val_accuracy" in figures else "accuracy"
    return f"loss {figures['loss']:.4f}, {which} {figures.get('val_accuracy', figures['accuracy']):.4f}"


def _figures(figures: Mapping[str, float]) -> str:
    validation = f", validation {figures['val_accuracy']:.4f}" if "val_accuracy" in figures else ""
    return f"loss {figures['loss']:.4f}, accuracy {figures['accuracy']:.4f}{validation}"


@contextmanager
def _resume_hint(backup: Backup | list[Backup], output: Path) -> Iterator[None]:
    """On Ctrl-C, say that nothing is lost, where a finished epoch was kept; `backup` is that of the seed in work."""
    try:
        yield
    except KeyboardInterrupt:
        backups = backup if isinstance(backup, list) else [backup]
        if any(one.exists() for one in backups):
            note(f"\ninterrupted; the same command with --resume goes on after the last finished epoch in {output}")
        else:
            note("\ninterrupted before the first epoch was finished: nothing was kept")
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


def _seed_table(figures: Mapping[str, Any]) -> str:
    """Return the figures of several seeds as lines for people."""
    rows = [(f"seed {row['seed']}", row) for row in figures["seeds"]]
    rows += [("mean", figures["mean"]), ("deviation", figures["standard_deviation"])]
    lines = ["float         validation    test"]
    for title, row in rows:
        mark = "  <- chosen" if row.get("seed") == figures["chosen_seed"] else ""
        lines.append(f"{title:13} {row['validation']:10.4f}  {row['test']:.4f}{mark}")
    return "\n".join(lines)


def _photo_summary(record: Mapping[str, Any], files: tuple[Path, ...]) -> str:
    lines = [
        f"{name}: right {row.get('right', 0):.3f} of {row['garments']} garments held out; "
        f"answered {row.get('answered', 0):.3f}, of these right {row.get('right_of_answered', 0):.3f}"
        for name, row in record["held_out"].get("collections", {}).items()
        if row["garments"]
    ]
    if record["temperature"] is None:
        lines.append("too few pictures were held out to fit a temperature and a threshold")
    else:
        lines.append(f"temperature {record['temperature']:.3f} folded in; unsure below {record['unsure_below']:.4f}")
    return "\n".join([*lines, "wrote " + ", ".join(str(path) for path in files)])
