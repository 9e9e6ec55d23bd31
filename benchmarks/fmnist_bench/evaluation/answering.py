"""Running a model over images whose labels are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import numpy as np

from fmnist_bench.evaluation.answers import Answers
from fmnist_bench.evaluation.labelled_images import LabelledImages
from fmnist_edge.bulk.result import Result
from fmnist_edge.bulk.streaming import classify_all
from fmnist_edge.classifier import Classifier
from fmnist_edge.contract import IMAGE_SIDE, LABELS
from fmnist_edge.dataset import SplitName, load_split
from fmnist_edge.errors import DataError
from fmnist_edge.prediction import Prediction

BATCH: Final = 1000  # images run at once: memory stays small, and larger ones were no faster

Watch = Callable[[Iterable[Result]], Iterable[Result]]


def answer_split(classifier: Classifier, split: SplitName, data: Path | None = None) -> Answers:
    """Run all images of a split of the dataset. Raises DataError if it is not there."""
    images, labels = (part := load_split(split, data)).images, part.labels
    batches = [classifier.predict(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return Answers(np.concatenate(batches), labels.astype(np.int64), images=images)


def answer_folder(classifier: Classifier, labelled: LabelledImages, watch: Watch = iter) -> Answers:
    """Run labelled image files; those that cannot be read are counted and left out.

    `watch` is handed the stream of results and passes them on (to show progress, or errors).
    Raises DataError if none of the images can be read.
    """
    kept: list[tuple[str, int, Prediction]] = []
    unreadable = [0] * len(labelled.truths)
    for result, truth in zip(watch(classify_all(classifier, labelled.paths)), labelled.truth, strict=True):
        if result.prediction is None:
            unreadable[truth] += 1
        else:
            kept.append((result.path, truth, result.prediction))
    if not kept:
        raise DataError(f"none of the {len(labelled.paths)} images could be read")
    seen = [prediction.image for _, _, prediction in kept if prediction.image is not None]
    return Answers(
        probabilities=np.stack([prediction.probabilities for _, _, prediction in kept]).reshape(-1, len(LABELS)),
        truth=np.array([truth for _, truth, _ in kept], np.int64),
        truths=labelled.truths,
        unreadable=tuple(unreadable),
        images=np.stack(seen).reshape(-1, IMAGE_SIDE, IMAGE_SIDE) if len(seen) == len(kept) else None,
        names=tuple(path for path, _, _ in kept),
        by_photo_model=sum(prediction.mask is not None for _, _, prediction in kept),
    )
