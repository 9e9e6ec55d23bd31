import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from fmnist_train.backend import keras
from fmnist_train.mlp import build_model
from fmnist_train.record import keras_file, read_record

PLAIN_LOAD = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy
model = keras.models.load_model(sys.argv[1])
assert not any(name.startswith("fmnist") for name in sys.modules)
assert getattr(model, "optimizer", None) is None
print(model.predict(numpy.full((1, 28, 28), 7, numpy.uint8), verbose=0).tolist())
"""


def test_the_file_loads_with_plain_keras_and_answers_the_same(tmp_path: Path) -> None:
    model = build_model()
    path = tmp_path / "model.keras"
    path.write_bytes(keras_file(model, "{}"))
    done = subprocess.run([sys.executable, "-c", PLAIN_LOAD, path], capture_output=True, text=True, check=True)
    expected = model.predict(np.full((1, 28, 28), 7, np.uint8), verbose=0)
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-6)


def test_the_same_weights_and_record_give_the_same_bytes(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    first = keras_file(build_model(), "{}")
    keras.utils.set_random_seed(1)
    assert keras_file(build_model(), "{}") == first
    keras.utils.set_random_seed(2)
    assert keras_file(build_model(), "{}") != first


def test_the_archive_carries_the_record_and_no_time(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(keras_file(build_model(), '{"seed": 4}'))
    assert read_record(path) == {"seed": 4}
    with zipfile.ZipFile(path) as archive:
        assert all(member.date_time == (1980, 1, 1, 0, 0, 0) for member in archive.infolist())
        assert "date_saved" not in json.loads(archive.read("metadata.json"))


def test_object_numbers_are_small_and_objects_stay_shared() -> None:
    with zipfile.ZipFile(io.BytesIO(keras_file(build_model(), "{}"))) as archive:
        config = archive.read("config.json").decode()
    numbers = [int(number) for number in re.findall(r'"shared_object_id": (\d+)', config)]
    assert numbers[0] == 1
    assert len(set(numbers)) == max(numbers) < len(numbers)
