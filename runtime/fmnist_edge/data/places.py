"""Where the dataset is looked for, and in which order. Imports no numpy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fmnist_edge.data.files import FolderCheck, check_folder
from fmnist_edge.data.user_cache import home, user_cache
from fmnist_edge.errors import DataError

DATA_VARIABLE: Final = "FMNIST_DATA"
DEBIAN_FOLDER: Final = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist


@dataclass(frozen=True)
class Place:
    """One folder that may hold the dataset."""

    name: str
    folder: Path | None
    """None where nothing is set: the place does not exist on this machine."""
    explicit: bool
    """Somebody named this folder: when it is bad, that is an error, and no other is looked at."""


@dataclass(frozen=True)
class Look:
    """A place, and what was found there; None if it was not looked at."""

    place: Place
    check: FolderCheck | None

    @property
    def complete(self) -> bool:
        """Tell whether the dataset is there, all of it and verified."""
        return self.check is not None and self.check.state == "complete"

    @property
    def state(self) -> str:
        """One of `not-set`, `not-looked-at` and the states of FolderCheck."""
        if self.place.folder is None:
            return "not-set"
        return self.check.state if self.check else "not-looked-at"


def places(folder: Path | None = None) -> tuple[Place, ...]:
    """Return all places in the order of looking; `folder` is the one given by --data, if any."""
    return (
        Place("--data", folder, explicit=True),
        Place(f"${DATA_VARIABLE}", _data_variable(), explicit=True),
        Place("user's cache", cache_folder(), explicit=False),
        Place("Keras's cache", _keras_folder(), explicit=False),
        Place("Debian's package", DEBIAN_FOLDER, explicit=False),
    )


def look(folder: Path | None = None) -> Iterator[Look]:
    """Yield each place in order; after a complete or explicitly named one, no more are looked at."""
    decided = False
    for place in places(folder):
        if decided or place.folder is None:
            yield Look(place, None)
            continue
        result = Look(place, check_folder(place.folder))
        decided = result.complete or place.explicit
        yield result


def find_dataset(folder: Path | None = None) -> Path:
    """Return the folder whose four files all verify: `folder` if given, else the first of `places`.

    Raises DataError if `folder` or $FMNIST_DATA is given and bad, or if no place has the dataset.
    """
    faults = []
    for result in look(folder):
        if result.complete:
            assert result.place.folder is not None
            return result.place.folder
        if result.check and result.place.explicit:
            raise _bad_explicit(result.place, result.check)
        if result.check and result.state != "missing":
            faults.append(f" ({result.place.folder}: {result.check.detail})")
    raise DataError(
        f"the Fashion-MNIST dataset is not on this machine{''.join(faults)}: get it with `fmnist-edge data fetch`"
    )


def fetch_folder() -> Path:
    """Return where a fetch puts the files unless told otherwise: $FMNIST_DATA, or the user's cache.

    Raises DataError if there is neither.
    """
    folder = _data_variable() or cache_folder()
    if folder is None:
        raise DataError(f"this user has no home folder: choose a place with -o DIR or ${DATA_VARIABLE}")
    return folder


def cache_folder() -> Path | None:
    """Return the dataset's folder in the user's cache, or None if the user has no home."""
    cache = user_cache()
    return cache / "fashion-mnist" if cache else None


def _data_variable() -> Path | None:
    value = os.environ.get(DATA_VARIABLE)
    return Path(value) if value else None


def _keras_folder() -> Path | None:
    """Return where `keras.datasets.fashion_mnist.load_data()` keeps the same files."""
    given, own = os.environ.get("KERAS_HOME"), home()
    keras = Path(given) if given else own / ".keras" if own else None
    return keras / "datasets" / "fashion-mnist" if keras else None


def _bad_explicit(place: Place, check: FolderCheck) -> DataError:
    origin = f" (from {place.name})" if place.name.startswith("$") else ""
    return DataError(
        f"{place.folder}{origin} is not a good copy of the dataset: {check.detail}; "
        f"mend it with `fmnist-edge data fetch --overwrite -o {place.folder}`"
    )
