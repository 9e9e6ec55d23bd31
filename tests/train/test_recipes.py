from dataclasses import FrozenInstanceError, replace

import pytest

from fmnist_train.cli import RECIPES as OFFERED
from fmnist_train.recipes import DEFAULT, PHOTO, RECIPES, TUTORIAL, named_photo_recipe, named_recipe


def test_the_command_line_offers_every_recipe() -> None:
    assert sorted(OFFERED["classifier"]) == sorted(RECIPES)
    assert OFFERED["photo"] == (PHOTO.name,)
    assert all(recipe.name == name for name, recipe in RECIPES.items())


def test_the_tutorial_is_ten_plain_epochs_on_all_images() -> None:
    assert (TUTORIAL.epochs, TUTORIAL.batch_size, TUTORIAL.optimizer) == (10, 32, "adam")
    assert (TUTORIAL.schedule, TUTORIAL.learning_rate) == ("constant", 1e-3)
    assert not (TUTORIAL.validation or TUTORIAL.horizontal_flips or TUTORIAL.temperature)
    assert TUTORIAL.input_dropout == TUTORIAL.weight_decay == 0
    assert TUTORIAL.weight_average_momentum is None


def test_a_temperature_is_only_asked_for_where_validation_images_are_kept() -> None:
    assert all(recipe.validation for recipe in RECIPES.values() if recipe.temperature)
    assert DEFAULT.temperature


def test_a_recipe_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        DEFAULT.epochs = 1  # type: ignore[misc]


def test_a_named_recipe_differs_only_in_what_is_given() -> None:
    assert named_recipe("default") == DEFAULT
    assert named_recipe("default", epochs=3) == replace(DEFAULT, epochs=3)
    assert named_recipe("tutorial", batch_size=7) == replace(TUTORIAL, batch_size=7)
    assert named_photo_recipe() == PHOTO
    assert named_photo_recipe(epochs=2, batch_size=8) == replace(
        PHOTO, cycles=(replace(PHOTO.cycles[0], epochs=2),), batch_size=8
    )
