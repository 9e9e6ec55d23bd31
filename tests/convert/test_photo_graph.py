"""The photo model: any picture in; the network's answer, and where it was seen, out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import PIL.Image
import pytest

from fmnist_convert.convert_photo import (
    PhotoNetwork,
    convert_photo_model,
    float_network,
    photo_graph,
    read_photo_network,
)
from fmnist_convert.parity import Limits
from fmnist_edge import Classifier
from fmnist_edge.dataset import load_split
from fmnist_edge.errors import ModelError

SIDE = 48


@pytest.fixture(scope="module")
def model() -> Any:
    """Return a CNN of random features whose last layer is fitted to enlarged images of the dataset."""
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    pixels = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    signal = layers.Rescaling(1 / 127.5, offset=-1.0)(pixels)
    signal = layers.Conv2D(16, 3, strides=4, padding="same", activation="relu")(signal)
    signal = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)(signal)
    features = keras.Model(pixels, layers.ReLU()(layers.BatchNormalization()(signal)))
    split = load_split("train")
    pooled = np.asarray(features(squares(split.images[:1500]))).mean(axis=(1, 2))
    inputs = np.concatenate([pooled, np.ones((len(pooled), 1))], axis=1)
    gram = inputs.T @ inputs
    ridge = 1e-4 * np.trace(gram) / len(gram) * np.eye(len(gram))
    targets = 20 * np.eye(10)[split.labels[:1500]]
    weights = np.linalg.solve(gram + ridge, inputs.T @ targets).astype(np.float32)
    pooling, dense = layers.GlobalAveragePooling2D()(features.output), layers.Dense(10, activation="softmax")
    temperature = layers.Rescaling(0.5)(layers.Dropout(0.2)(pooling))
    whole = keras.Model(features.input, dense(temperature))
    dense.set_weights([2 * weights[:-1], weights[-1]])
    return whole


def squares(images: np.ndarray) -> np.ndarray:
    large = [PIL.Image.fromarray(image).resize((SIDE, SIDE), PIL.Image.Resampling.BILINEAR) for image in images]
    return np.stack([np.asarray(one.convert("RGB")) for one in large])


@pytest.fixture(scope="module")
def network(model: Any) -> PhotoNetwork:
    return read_photo_network(model)


@pytest.fixture(scope="module")
def session(network: PhotoNetwork) -> Any:
    graph = photo_graph(float_network(network), network)
    return onnxruntime.InferenceSession(graph.SerializeToString())


def picture(height: int, width: int) -> np.ndarray:
    blocks = np.random.default_rng(height * 1000 + width).integers(0, 256, (4, 3, 3)).astype(np.uint8)
    return np.asarray(PIL.Image.fromarray(blocks).resize((width, height), PIL.Image.Resampling.BICUBIC))


def letterboxed(pixels: np.ndarray) -> np.ndarray:
    """Return what the network should see, by Pillow and numpy: uint8 [SIDE, SIDE, 3]."""
    height, width = pixels.shape[:2]
    rows, columns = (max(1, int(side * SIDE / max(height, width) + 0.5)) for side in (height, width))
    small = np.asarray(PIL.Image.fromarray(pixels).resize((columns, rows), PIL.Image.Resampling.BILINEAR))
    top, left = (SIDE - rows) // 2, (SIDE - columns) // 2
    edges = ((top, SIDE - rows - top), (left, SIDE - columns - left), (0, 0))
    return np.pad(small, edges, mode="edge")


@pytest.mark.parametrize("size", [(48, 48), (30, 40), (40, 11), (200, 150), (90, 320), (7, 3)])
def test_the_answer_is_that_of_keras_on_the_letterboxed_picture(
    session: Any, model: Any, size: tuple[int, int]
) -> None:
    probabilities, _ = session.run(None, {"photo": picture(*size)})
    expected = np.asarray(model(letterboxed(picture(*size))[None], training=False))
    np.testing.assert_allclose(probabilities, expected, atol=0.05)  # the two filters differ by some grey levels


@pytest.mark.parametrize(
    ("size", "seen"),
    [((1, 1), (48, 48)), ((1, 500), (1, 48)), ((500, 1), (48, 1)), ((40, 30), (48, 36)), ((75, 200), (18, 48))],
)
def test_what_was_seen_has_the_pictures_shape_at_any_size(
    session: Any, size: tuple[int, int], seen: tuple[int, int]
) -> None:
    probabilities, saw = session.run(None, {"photo": picture(*size)})
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert saw.shape == seen
    assert 0 <= saw.min() <= saw.max() <= 1


def test_what_was_seen_is_the_class_activation_map_of_the_answer(session: Any, network: PhotoNetwork) -> None:
    pixels = picture(48, 48)
    probabilities, saw = session.run(None, {"photo": pixels})
    features = np.asarray(network.features(pixels[None], training=False))[0]
    maps = np.maximum(features @ network.kernel[:, probabilities[0].argmax()], 0)
    # By hand: both convolutions pad the end alone, so cell i looks at 8 i + 5, not at the 8 i + 3.5 that it covers.
    centres = 8 * np.arange(len(maps)) + 5
    rows, columns = np.unravel_index(maps.argmax(), maps.shape)
    assert saw[centres[rows], centres[columns]] >= 0.8
    np.testing.assert_allclose(saw[np.ix_(centres, centres)], maps / maps.max(), atol=0.2)


def test_nothing_was_seen_where_no_part_speaks_for_the_answer(network: PhotoNetwork) -> None:
    against = PhotoNetwork(network.features, -np.abs(network.kernel), network.bias)
    graph = photo_graph(float_network(against), against)
    _, saw = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"photo": picture(48, 48)})
    assert saw.max() == 0


def test_a_network_without_the_head_that_maps_need_is_refused(model: Any) -> None:
    import keras

    flat = keras.layers.Flatten()(read_photo_network(model).features.output)
    other = keras.Model(model.input, keras.layers.Dense(10, activation="softmax")(flat))
    with pytest.raises(ModelError, match="GlobalAveragePooling2D"):
        read_photo_network(other)


@pytest.fixture(scope="module")
def written(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the int8 file, calibrated and measured on pictures drawn from the dataset's training images."""

    class Original:
        sha256, record = "0" * 64, {"unsure_below": 0.4, "recipe": "test", "seed": 1}

    folder = tmp_path_factory.mktemp("photo")
    split = load_split("train")
    rows = ["path,labels"]
    for number in range(500):
        path = folder / "pictures" / ("train" if number < 400 else "validation") / f"{number * 1000}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(squares(split.images[number : number + 1])[0]).save(path)
        rows.append(f"{path.parent.name}/{path.name},{split.labels[number]}")
    (folder / "pictures" / "labels.csv").write_text("\n".join(rows))
    original: Any = Original()
    original.model = model
    conversion = convert_photo_model(
        original,
        collections=[folder / "pictures"],
        data=None,
        name="mine",
        model_version="1.0.0",
        limits=Limits(0.1, 0.9, 0.1, 1.0),  # random features are frailer than trained ones
    )
    assert conversion.broken == []
    return conversion.write(folder / "out")[-1]


def test_the_int8_file_agrees_with_fp32_and_saturates_nowhere(written: Path, session: Any) -> None:
    classifier = Classifier(written)
    images = squares(load_split("validation").images[:100])
    found = [classifier.classify(image).probabilities.argmax() for image in images]
    expected = [session.run(None, {"photo": image})[0].argmax() for image in images]
    assert np.mean(np.array(found) == np.array(expected)) >= 0.9
    tensors = [onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(written).graph.initializer]
    assert max(np.abs(one.astype(int)).max() for one in tensors if one.dtype == np.int8 and one.ndim == 4) <= 64


def test_onnxruntime_computes_the_convolutions_on_integers_from_the_photos_bytes_on(
    written: Path, tmp_path: Path
) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(written), options)
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert kinds.count("QLinearConv") == 2
    assert "Conv" not in kinds
    assert "QuantizeLinear" not in kinds


def test_the_vectors_hold_on_this_device_and_the_facts_are_in_the_file(written: Path) -> None:
    from fmnist_edge.self_test import run_self_test

    assert run_self_test(written).passed
    beside = json.loads(written.with_suffix(".json").read_text())
    inside = {entry.key: entry.value for entry in onnx.load(written).metadata_props}
    assert inside["unsure_below"] == "0.4"
    assert beside["quantization"]["kept_in_float"] == []
    assert beside["measured"]["validation, all"]["images"] == 100
    assert "validation, all" in written.with_suffix(".md").read_text()


def test_the_map_lies_where_the_picture_is_bright() -> None:
    import keras

    side = 64
    pixels = keras.Input((side, side, 3), dtype="uint8")
    signal = keras.layers.Rescaling(1 / 255)(pixels)
    for _ in range(4):
        signal = keras.layers.Conv2D(1, 3, strides=2, padding="same", use_bias=False, kernel_initializer="ones")(signal)
    dense = keras.layers.Dense(10, activation="softmax", kernel_initializer="ones")
    network = read_photo_network(keras.Model(pixels, dense(keras.layers.GlobalAveragePooling2D()(signal))))
    graph = photo_graph(float_network(network), network)
    photo = np.zeros((side, side, 3), np.uint8)
    photo[side // 2 - 8 : side // 2 + 8, side // 2 - 8 : side // 2 + 8] = 255
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    maps = [session.run(["saw"], {"photo": one})[0] for one in (photo, photo[:, ::-1])]
    for saw in maps:
        centre = [np.average(np.arange(side), weights=saw.sum(axis=axis)) for axis in (1, 0)]
        assert centre == pytest.approx([side / 2 - 0.5] * 2, abs=2.5)
