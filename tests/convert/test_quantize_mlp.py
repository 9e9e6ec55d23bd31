"""Quantizing dense chains: labels stay, no CPU saturates, and the refinement helps images that it has not seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from fmnist_convert import quantize_mlp as module
from fmnist_convert.dense_chain import DenseChain
from fmnist_convert.integer_mlp import IntegerMlp, build_onnx
from fmnist_convert.quantize_mlp import Quantized, best_rounding, quantize_mlp
from fmnist_convert.rounding import image_weights, margin_error, refine
from fmnist_edge.dataset import load_split

from .chains import fitted_chain, keeps_bounds


@pytest.fixture(scope="module", autouse=True)
def few_tries() -> Iterator[None]:
    """Try two of the exponents and shares, and fewer pairs of units: the facts do not hang on how many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EQUALIZATIONS", (0.3, 0.5))
        patch.setattr(module, "COVERAGES", (1.0, 0.9))
        patch.setattr(module, "PAIRING_SWAPS", 2_000)
        yield


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return load_split("train").images


@pytest.fixture(scope="module")
def chain() -> DenseChain:
    return fitted_chain(32)


@pytest.fixture(scope="module")
def rounded(chain: DenseChain, images: np.ndarray) -> Quantized:
    return best_rounding(chain, images[:2000], images[2000:4000])


def test_images_it_has_not_seen_keep_their_margin_better(rounded: Quantized, images: np.ndarray) -> None:
    refined = refine(rounded.origin, rounded.network, images[4000:10_000])
    unseen = images[10_000:14_000]
    target = rounded.origin.logits(unseen)
    before, after = (margin_error(network.logits(unseen), target) for network in (rounded.network, refined))
    assert after < before


def test_the_refinement_keeps_the_pair_bound_and_the_scales(rounded: Quantized, images: np.ndarray) -> None:
    refined = refine(rounded.origin, rounded.network, images[:2000])
    first, before = refined.layers[0].kernel, rounded.network.layers[0].kernel
    assert keeps_bounds(first.values)
    assert (first.values != before.values).any()
    np.testing.assert_array_equal(first.scales, before.scales)
    np.testing.assert_array_equal(refined.layers[1].kernel.values, rounded.network.layers[1].kernel.values)


def test_a_refinement_that_harms_is_dropped(
    chain: DenseChain, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "refine", lambda _chain, integers, _images, _progress: shifted(integers))
    result = quantize_mlp(chain, images)
    assert not result.refined
    assert result.margin_error < margin_error(shifted(result.network).logits(images[:500]), chain.logits(images[:500]))


def shifted(integers: IntegerMlp) -> IntegerMlp:
    last = integers.layers[-1]
    return IntegerMlp((*integers.layers[:-1], replace(last, bias=last.bias + np.arange(10, dtype=np.int32) * 500)))


@pytest.mark.parametrize("hidden", [(), (25,), (40, 24), (24, 17, 12)])
def test_chains_of_any_depth_and_odd_widths_keep_labels_and_bounds(hidden: tuple[int, ...], images: np.ndarray) -> None:
    chain = fitted_chain(*hidden)
    network = best_rounding(module.even(chain), images[:2000], images[2000:3000]).network
    assert len(network.layers) == len(hidden) + 1
    assert all(keeps_bounds(layer.kernel.values) for layer in network.layers)
    assert all(layer.kernel.values.shape[0] % 2 == 0 for layer in network.layers)
    unseen = images[5000:8000]
    same = network.logits(unseen).argmax(axis=1) == chain.logits(unseen).argmax(axis=1)
    assert np.mean(same) >= 0.98


@pytest.mark.parametrize("hidden", [(), (24,), (40, 24)])
def test_the_file_computes_the_same_integers_whatever_the_batch(hidden: tuple[int, ...], images: np.ndarray) -> None:
    network = best_rounding(fitted_chain(*hidden), images[:1000], images[1000:2000]).network
    model = build_onnx(network)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    probabilities = session.run(None, {"image": images[:300]})[0]
    logits = network.logits(images[:300]).astype(np.float64)
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(probabilities, expected / expected.sum(axis=1, keepdims=True), atol=1e-6)
    alone = np.concatenate([session.run(None, {"image": images[at : at + 1]})[0] for at in range(20)])
    np.testing.assert_array_equal(alone, probabilities[:20])


def test_an_image_counts_by_the_margin_of_its_two_best_logits() -> None:
    logits = np.array([[0.0, 3.0, 1.0], [2.0, 2.0, -1.0]])
    np.testing.assert_allclose(image_weights(logits), [np.exp(-1), 1])
