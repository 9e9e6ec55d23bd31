"""The segmenter that training reads may come from a stranger: no code of it is run and no other file is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from fmnist_edge.errors import ModelError
from fmnist_train.photo.views import open_segmenter
from tests.strange_keras import FOREIGN, with_foreign_layer, with_linked_weights

SHIPPED = Path(__file__).parents[3] / "train" / "artifacts" / "fmnist-photo-segmenter.keras"


@pytest.mark.parametrize(("module", "name"), FOREIGN)
def test_what_is_no_layer_is_refused_before_keras_sees_it(tmp_path: Path, module: str, name: str) -> None:
    with pytest.raises(ModelError, match=f"it names '{name}' of '{module}'"):
        open_segmenter(with_foreign_layer(SHIPPED, tmp_path / "strange.keras", module, name))


def test_weights_of_another_file_are_not_read(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="its weights stolen lie in another file"):
        open_segmenter(with_linked_weights(SHIPPED, tmp_path / "strange.keras"))
