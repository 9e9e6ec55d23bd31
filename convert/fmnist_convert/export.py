"""The original as fp32 ONNX that keeps the contract, checked against the original right away."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from fmnist_convert.onnx_graph import LOWEST_OPSET, canonical, lowered, with_constant_shapes, with_contract
from fmnist_convert.original import Original
from fmnist_edge.contract import IMAGE_SIDE, INPUT_NAME, OUTPUT_NAME
from fmnist_edge.errors import ModelError
from fmnist_edge.onnx_reader import validate_content

OPSETS: Final = (LOWEST_OPSET, 15, 17, 18)  # tried in this order for what the lower ones cannot express
CHECKED_IMAGES: Final = 200
MAX_DIFFERENCE: Final = 1e-4  # of any probability, against the original
_QUANTIZED: Final = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger"}
    | {"ConvInteger"}
)


def export_fp32(original: Original) -> onnx.ModelProto:
    """Return the fp32 ONNX form of a classifier: uint8 `image` in, float32 `probabilities` out.

    Its input form must be known. Raises ModelError for what ONNX cannot express, and if the graph does not answer as
    the original does.
    """
    if original.form is None:
        raise ValueError("the input form is not known: use with_measured_form first")
    if original.graph is not None:
        _refuse_quantized(original)
        core = original.graph
    else:
        core = trace(original)
    index = 0 if original.graph is None else original.output_index
    model = with_contract(core, original.form, original.output, index)
    model = with_constant_shapes(model, lambda probe: [*_run(probe, original.path, 2), *_run(probe, original.path, 3)])
    model = canonical(lowered(model, lambda candidate: _run(candidate, original.path)))
    validate_content(
        model.SerializeToString(), original.path, "a loop, such as in some recurrent layers, can't run on every device"
    )
    _check(model, original)
    return model


def trace(original: Original) -> onnx.ModelProto:
    """Return a Keras model or SavedModel as ONNX, with the input and output that it has itself.

    tf2onnx's `from_keras` fails on Sequential models of Keras 3, so the model is traced as a function.
    """
    from fmnist_convert.backend import keras, tf, tf2onnx

    assert original.form is not None
    signature = (tf.TensorSpec((None, *original.form.shape), original.dtype, name=INPUT_NAME),)

    def forward(image: Any) -> dict[str, Any]:
        answers = keras.tree.flatten(original.model(image, training=False))
        answer = answers[original.output_index]
        return {OUTPUT_NAME: tf.cast(answer, tf.float32) if answer.dtype != tf.float32 else answer}

    function = tf.function(forward, input_signature=signature, autograph=False)
    failures: list[Exception] = []
    for opset in OPSETS:
        try:
            exported, _ = tf2onnx.convert.from_function(
                function, input_signature=signature, opset=opset, custom_op_handlers={"Erfc": (_erfc, [])}
            )
            return exported
        except Exception as error:  # tf2onnx raises many types, onnx's checker among them
            failures.append(error)
    raise ModelError(f"{original.path} can't be expressed in ONNX: {_cause(failures[-1])}") from failures[-1]


def _erfc(context: Any, node: Any, name: str, _args: Any) -> Any:
    """Write TensorFlow's Erfc (of gelu) as 1 - Erf, for tf2onnx, which has no rule for it."""
    node.type = "Erf"
    one = context.make_const(f"{name}_one", np.array(1, np.float32))
    made = node.output[0]
    consumers = context.find_output_consumers(made)
    difference = context.make_node("Sub", [one.output[0], made])
    for consumer in consumers:
        context.replace_input(consumer, made, difference.output[0])
    return node


def _cause(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__


def _refuse_quantized(original: Original) -> None:
    found = {node.op_type for node in original.graph.graph.node} & _QUANTIZED
    if found:
        raise ModelError(f"{original.path} is quantized already ({', '.join(sorted(found))}): convert the float model")


def _images() -> NDArray[np.uint8]:
    """Return images that exercise a network: noise of every contrast, and blocks."""
    random = np.random.default_rng(1)
    blocks = random.integers(0, 256, (CHECKED_IMAGES, 7, 7)).repeat(4, axis=1).repeat(4, axis=2)
    noise = random.integers(0, 256, (CHECKED_IMAGES, IMAGE_SIDE, IMAGE_SIDE))
    share = np.linspace(0, 1, CHECKED_IMAGES)[:, None, None]
    return (blocks * share + noise * (1 - share)).astype(np.uint8)


def _run(model: onnx.ModelProto, path: Path, count: int = CHECKED_IMAGES) -> list[NDArray[Any]]:
    from fmnist_convert.float_onnx import Session

    return Session(model, path).run(_images()[:count])


def _check(model: onnx.ModelProto, original: Original) -> None:
    """Raise ModelError unless the graph answers as the original does."""
    from fmnist_convert.float_onnx import Session

    images, session = _images(), Session(model, original.path)
    alone = np.concatenate([session.run(images[at : at + 1])[0] for at in range(2)])
    found = np.concatenate([alone, session.run(images[2:])[0]])
    difference = float(np.abs(found - original.predict(images)).max())
    if not difference <= MAX_DIFFERENCE:
        raise ModelError(
            f"the ONNX form of {original.path} does not answer as the original does: a probability differs by "
            f"{difference:.2g}"
        )
