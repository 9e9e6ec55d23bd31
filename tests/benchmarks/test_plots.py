"""The data behind each picture, read from the drawn figure, and the forms of its file."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from matplotlib.colors import to_hex

from fmnist_bench.charts import calibration_plot, confusion_plot, curves_plot
from fmnist_bench.evaluate import evaluate
from fmnist_bench.labelled import Answers, answer_split
from fmnist_bench.plots import (
    DARK,
    FORMS,
    OTHER,
    RIGHT,
    WRONG,
    answered_file,
    answered_images,
    drawn,
    indices_around,
    mistakes_plot,
    prediction_plot,
    predictions_plot,
    relative,
    rendered,
    samples_plot,
    save,
    surest_mistakes,
    weights_plot,
)
from fmnist_edge import LABELS, Classifier
from fmnist_edge.dataset import load_split
from fmnist_edge.errors import ModelError, UsageError
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER
from fmnist_edge.onnx_reader import first_layer

SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier()


@pytest.fixture(scope="module")
def test_answers(classifier: Classifier) -> Answers:
    return answer_split(classifier, "test")


@pytest.mark.parametrize("index", [2000, 800])
def test_bars_are_the_probabilities_and_colours_tell_right_from_wrong(classifier: Classifier, index: int) -> None:
    (answered,) = answered_images(classifier, "test", None, index, 1)
    image, bars = drawn(prediction_plot(answered)).axes
    assert [bar.get_width() for bar in bars.patches] == pytest.approx(100 * answered.probabilities)
    assert np.array_equal(image.images[0].get_array(), load_split("test").images[index])
    truth, best = int(load_split("test").labels[index]), answered.best
    expected = {truth: RIGHT} if truth == best else {truth: RIGHT, best: WRONG}
    colours = [to_hex(bar.get_facecolor()).upper() for bar in bars.patches]
    assert colours == [expected.get(label, OTHER).upper() for label in range(10)]
    assert [bar.get_hatch() is not None for bar in bars.patches] == [colour == WRONG for colour in colours]


def test_the_caption_says_label_confidence_and_truth(classifier: Classifier) -> None:
    (answered,) = answered_images(classifier, "test", None, 800, 1)
    confidence = 100 * answered.probabilities.max()
    assert answered.caption == f"Ankle boot {confidence:.1f} % (truth: Sneaker)"


def test_the_grid_has_an_image_and_its_bars_for_each(classifier: Classifier) -> None:
    answers = answered_images(classifier, "test", None, 0, 7)
    axes = drawn(predictions_plot(answers)).axes
    assert len(axes) == 14
    for answered, bars in zip(answers, axes[1::2], strict=True):
        assert [bar.get_width() for bar in bars.patches] == pytest.approx(100 * answered.probabilities)


def test_a_photo_is_shown_beside_what_the_network_saw(classifier: Classifier) -> None:
    answered = answered_file(classifier, str(SAMPLES / "photos" / "shoes-1.jpg"), 9)
    original, seen, _ = drawn(prediction_plot(answered)).axes
    assert original.images[0].get_array().shape == np.asarray(answered.original).shape
    assert original.images[0].get_array().shape[2] == 3
    assert np.array_equal(seen.images[0].get_array(), answered.image)


def test_an_image_of_the_dataset_has_no_original(classifier: Classifier) -> None:
    assert answered_file(classifier, str(SAMPLES / "9-ankle-boot.png"), None).original is None


def test_the_confusion_matrix_shows_all_images(test_answers: Answers) -> None:
    evaluation = evaluate(test_answers)
    axes = drawn(confusion_plot(evaluation, "x")).axes[0]
    numbers = [int(text.get_text().replace(",", "")) for text in axes.texts]
    assert sum(numbers) == 10_000
    assert numbers == evaluation.confusion.ravel().tolist()
    assert [label.get_text() for label in axes.get_xticklabels()] == list(LABELS)


def test_mistakes_are_wrong_and_the_surest_first(test_answers: Answers, classifier: Classifier) -> None:
    rows = surest_mistakes(test_answers, 12)
    assert not test_answers.right()[rows].any()
    confidence = test_answers.confidence
    assert sorted(confidence[rows], reverse=True) == list(confidence[rows])
    others = ~test_answers.right()
    others[rows] = False
    assert confidence[others].max() <= confidence[rows].min()
    figure = drawn(mistakes_plot(test_answers, 12, "x", classifier))
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert np.array_equal(np.stack(shown), load_split("test").images[rows])


def test_calibration_bars_are_the_bins_and_count_all_images(test_answers: Answers) -> None:
    evaluation = evaluate(test_answers)
    reliability, histogram, coverage = drawn(calibration_plot(evaluation, "x")).axes
    assert sum(bar.get_height() for bar in histogram.patches) == 10_000
    accuracies = [100 * row.accuracy for row in evaluation.bins if row.accuracy is not None]
    assert [bar.get_height() for bar in reliability.patches] == pytest.approx(accuracies)
    assert coverage.lines[0].get_ydata()[0] == pytest.approx(100 * test_answers.right().mean())


def test_samples_are_the_image_and_those_around_it() -> None:
    split = load_split("train")
    axes = drawn(samples_plot(split, "train", 20_000)).axes
    assert np.array_equal(axes[0].images[0].get_array(), split.images[20_000])
    grid = [one for one in axes if one.get_xlabel() in LABELS]
    assert [one.get_xlabel() for one in grid] == [LABELS[label] for label in split.labels[19_988:20_013]]


def test_indices_stay_inside_the_split_and_keep_to_a_label() -> None:
    labels = np.array([0, 1, 0, 1, 0, 1], np.uint8)
    assert indices_around(labels, 0, 3) == [0, 1, 2]
    assert indices_around(labels, 5, 3) == [3, 4, 5]
    assert indices_around(labels, 2, 2, label=1) == [1, 3]
    for index, label in ((6, None), (5, 0)):
        with pytest.raises(UsageError):
            indices_around(labels, index, 1, label)


def test_weights_read_from_the_file_are_those_that_onnx_reads() -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(str(EMBEDDED_CLASSIFIER)).graph
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    expected = tensors["hidden_kernel"].astype(float) * tensors["hidden_kernel_scale"]
    weights = first_layer(EMBEDDED_CLASSIFIER)
    assert weights.shape == (128, 28, 28)
    assert np.array_equal(weights[5].ravel(), expected[:, 5])
    shown = [axes.images[0].get_array() for axes in drawn(weights_plot(weights, "x")).axes if axes.images]
    assert np.array_equal(np.stack(shown), relative(weights))


def test_a_file_that_is_no_model_has_no_weights(tmp_path: Path) -> None:
    for content in (b"", b"\x3a\x02", b"no model at all"):
        (tmp_path / "x.onnx").write_bytes(content)
        with pytest.raises(ModelError):
            first_layer(tmp_path / "x.onnx")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_can_be_written_and_is_the_same_twice(classifier: Classifier, form: str, tmp_path: Path) -> None:
    plot = prediction_plot(answered_images(classifier, "test", None, 800, 1)[0])
    save(plot, tmp_path / f"x.{form}")
    content = (tmp_path / f"x.{form}").read_bytes()
    assert content == rendered(plot, form)
    assert content.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[form])


def test_dpi_sets_the_pixels_and_the_dark_theme_the_background(classifier: Classifier) -> None:
    plot = prediction_plot(answered_images(classifier, "test", None, 800, 1)[0])
    with PIL.Image.open(io.BytesIO(rendered(plot, dpi=50, theme=DARK))) as picture:
        assert picture.size == (int(50 * plot.width), int(50 * plot.height))
        assert "#{:02x}{:02x}{:02x}".format(*picture.convert("RGB").getpixel((0, 0))) == DARK.background  # type: ignore[misc]


def test_an_unknown_form_and_contradicting_options_are_wrong_usage(tmp_path: Path) -> None:
    wrong = (
        ("prediction",),
        ("prediction", "x.png", "--index", "1"),
        ("prediction", "--index", "1", "--truth", "Bag"),
        ("prediction", "--index", "10000"),
        ("weights", "-o", str(tmp_path / "x.gif")),
    )
    for arguments in wrong:
        done = subprocess.run([SCRIPT, "plot", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 2, (arguments, done.stderr)


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    command = [SCRIPT, "plot", "prediction", str(tmp_path / "notes.png"), "-o", str(tmp_path / "out.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{tmp_path / 'notes.png'}: not an image" in done.stderr
    assert not (tmp_path / "out.png").exists()


def test_without_matplotlib_one_line_says_what_to_install() -> None:
    program = "import sys; sys.modules['matplotlib'] = None; from fmnist_edge.cli.main import main; main()"
    for arguments in (("plot", "weights"), ("evaluate", "--report", "x")):
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 3
        assert done.stderr.count("\n") == 1
        assert "which is not installed: " in done.stderr
        assert "pip install" in done.stderr
        assert "[plot]" in done.stderr


HISTORY = {"loss": [0.9, 0.5], "accuracy": [0.7, 0.8], "val_loss": [0.8, 0.6], "val_accuracy": [0.75, 0.78]}
RECORD = {
    "model": "fmnist-mlp",
    "recipe": "default",
    "seed": 0,
    "accuracy": {"train": 0.91, "test": 0.8},
    "history": HISTORY,
}


def test_curves_are_the_history_in_their_units_and_the_title_tells_them_from_the_saved_network() -> None:
    figure = drawn(curves_plot(RECORD))
    (loss, val_loss), (accuracy, val_accuracy) = (axes.lines for axes in figure.axes)
    assert [list(curve.get_ydata()) for curve in (loss, val_loss)] == [[0.9, 0.5], [0.8, 0.6]]
    assert list(accuracy.get_ydata()) == pytest.approx([70, 80])
    assert list(val_accuracy.get_ydata()) == pytest.approx([75, 78])
    assert accuracy.get_linestyle() != val_accuracy.get_linestyle()
    assert "accuracy of the saved network: train 91.00 %" in figure.get_suptitle()
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == [
        "training batches, during training",
        "validation",
    ]


def test_a_training_without_validation_has_one_curve() -> None:
    plain = {**RECORD, "history": {"loss": [0.9], "accuracy": [0.7]}}
    assert [len(axes.lines) for axes in drawn(curves_plot(plain)).axes] == [1, 1]


def test_a_colour_bar_is_as_tall_as_its_picture(test_answers: Answers) -> None:
    for plot in (confusion_plot(evaluate(test_answers), "x"), samples_plot(load_split("train"), "train", 20_000)):
        figure = drawn(plot)
        figure.draw_without_rendering()
        picture = next(axes for axes in figure.axes if axes.images and axes.child_axes)
        assert picture.child_axes[0].get_window_extent().height == pytest.approx(
            picture.get_window_extent().height, rel=0.01
        )
