"""The fp32 export: same function as Keras, names and bytes that depend on the model alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime

from fmnist_convert.export import canonical, export_fp32


def test_fp32_gives_the_probabilities_of_keras(original: Any, fp32: onnx.ModelProto, test_split: Any) -> None:
    session = onnxruntime.InferenceSession(fp32.SerializeToString())
    images = test_split.images[:2000]
    found = session.run(["probabilities"], {"image": images})[0]
    assert np.abs(found - original.predict(images)).max() <= 1e-5


def test_two_exports_in_one_process_have_the_same_bytes(original: Any, fp32: onnx.ModelProto) -> None:
    again = export_fp32(original)
    assert again.SerializeToString(deterministic=True) == fp32.SerializeToString(deterministic=True)


def test_the_interface_is_pinned(fp32: onnx.ModelProto) -> None:
    graph = fp32.graph
    assert [(value.name, value.type.tensor_type.elem_type) for value in graph.input] == [
        ("image", onnx.TensorProto.UINT8)
    ]
    assert [value.name for value in graph.output] == ["probabilities"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert (fp32.ir_version, [(o.domain, o.version) for o in fp32.opset_import]) == (7, [("", 13)])


def test_canonical_names_do_not_depend_on_the_names_before(fp32: onnx.ModelProto) -> None:
    renamed = onnx.ModelProto()
    renamed.CopyFrom(fp32)
    inner = {name for node in fp32.graph.node for name in node.output} - {"probabilities"}
    for node in renamed.graph.node:
        node.name = f"n{hash(node.name)}"
        node.input[:] = [f"x_{name}" if name in inner else name for name in node.input]
        node.output[:] = [f"x_{name}" if name in inner else name for name in node.output]
    assert renamed.SerializeToString() != fp32.SerializeToString()
    assert canonical(renamed).SerializeToString() == canonical(fp32).SerializeToString()
