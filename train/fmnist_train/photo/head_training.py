"""A whole training of the photo head: draw its pictures, choose on a fold, fit on all, write."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from fmnist_edge.download import find_photos
from fmnist_train.backend import use_one_thread
from fmnist_train.photo.calibration import fit_allowed_temperature, unsure_below
from fmnist_train.photo.head_fitting import NAME, fit_head
from fmnist_train.photo.head_pictures import HeadPictures, Judged, draw_head_pictures
from fmnist_train.photo.head_scores import figures, unsure_shares
from fmnist_train.photo.photo_record import begin_record, write_part
from fmnist_train.photo.progress import Report, fitting
from fmnist_train.photo.recipes import HeadRecipe
from fmnist_train.photo.segmenter_training import PhotoTraining
from fmnist_train.scores import log_softmax
from fmnist_train.temperature import fold_temperature, logits_of

MODEL_FILE: Final = f"{NAME}.keras"
RECORD_FILE: Final = f"{NAME}.training.json"


def train_head(
    recipe: HeadRecipe,
    seed: int,
    output: Path,
    segmenter: Path,
    *,
    data: Path | None = None,
    photos: Path | None = None,
    report: Report = lambda _line: None,
) -> PhotoTraining:
    """Train the photo head behind a segmenter's .keras file; write its own .keras file and record into `output`.

    Temperature and threshold are chosen with a first head on pictures held out of its training; the head that is
    written is then trained on those, too. Deterministic for a seed on one machine. Sees the train split of the photos
    (none with a recipe that uses none) and training images of Fashion-MNIST. Raises DataError, OutputError.
    """
    use_one_thread()
    folder = find_photos(photos) if recipe.photos else None
    pictures = draw_head_pictures(recipe, seed, segmenter, data, folder, report)
    head, losses = fit_head(pictures.fold, recipe, seed, fitting(report, "head", recipe.steps))
    chosen = _choose(head, pictures.judged)
    report(f"held-out accuracy {chosen['held_out']['accuracy']:.4f}, unsure below {chosen['unsure_below']:.3f}")
    if pictures.everything is not None:
        head, losses = fit_head(pictures.everything, recipe, seed, fitting(report, "head on all", recipe.steps))
    fold_temperature(head, chosen["temperature"])
    record = begin_record("photo-head", recipe.name, asdict(recipe), seed)
    record |= {
        "training_data": _training_data(recipe, pictures),
        "segmenter_sha256": hashlib.sha256(segmenter.read_bytes()).hexdigest(),
        **chosen,
        "loss": losses,
    }
    return PhotoTraining(record, write_part(head, record, output, MODEL_FILE, RECORD_FILE))


def _choose(head: Any, judged: Judged) -> dict[str, Any]:
    """Return temperature, threshold and figures of a head on pictures that it was not trained on."""
    logits, others = logits_of(head, judged.pictures), logits_of(head, judged.negatives)
    temperature = fit_allowed_temperature(logits, judged.allowed)
    garments, negatives = (np.exp(log_softmax(values / temperature)) for values in (logits, others))
    right = judged.allowed[np.arange(len(garments)), garments.argmax(1)]
    threshold = unsure_below(garments.max(1), right, negatives.max(1))
    return {
        "temperature": round(temperature, 6),
        "unsure_below": round(threshold, 4),
        "held_out": figures(garments, judged.allowed, judged.classes, threshold),
        "negatives_unsure": unsure_shares(negatives.max(1), judged.negative_kinds, threshold),
    }


def _training_data(recipe: HeadRecipe, pictures: HeadPictures) -> str:
    images = "Fashion-MNIST's training images"
    if pictures.everything is not None:
        photos = len(pictures.everything[0].targets)
        return (
            f"the {photos:,} train photos of clothing-dataset-small (CC0), {images}, and drawn pictures of no garment"
        )
    return f"{images}, plain and redrawn {recipe.redrawings} times, and drawn pictures of no garment; no photo"
