"""Interrupted trainings go on: what Keras's BackupAndRestore writes, kept whole through any kill.

Keras writes weights, then the epoch's number, as two files in place; a kill between the two, or inside one,
leaves a backup that does not fit together. So after each epoch its files and the history so far are put into
one archive in one step, and a resumed training begins from that archive.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fmnist_edge.atomic import write_atomically
from fmnist_edge.errors import OutputError, UsageError
from fmnist_train.backend import keras

History = dict[str, list[float]]

_HISTORY: Final = "history.json"
_IDENTITY: Final = "run.json"
_KERAS: Final = "keras/"


class Backup:
    """The folder in which one training keeps what it needs to go on."""

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        """Keep backups in `folder` for the run that `identity` (JSON values) describes: recipe, seed, versions."""
        self.folder = folder
        self.identity = json.loads(json.dumps(identity))
        self.snapshot = folder / "last-epoch.zip"
        self.working = folder / "working"

    def exists(self) -> bool:
        """Tell whether a finished epoch of an interrupted training lies here."""
        return self.snapshot.is_file()

    def begin(self) -> None:
        """Start an empty backup, so that a folder nobody can write to is noticed before the work is done.

        Raises OutputError.
        """
        self.discard()
        try:
            self.folder.mkdir(parents=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(
                f"cannot write to {self.folder.parent}: {reason}; choose another place with -o"
            ) from error

    @contextmanager
    def kept_if_useful(self) -> Iterator[None]:
        """On any exception, discard the backup if no epoch was finished."""
        try:
            yield
        except BaseException:
            if not self.exists():
                self.discard()
            raise

    def discard(self) -> None:
        """Remove the folder, if there is one."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def restore(self) -> History:
        """Lay Keras's files ready for BackupAndRestore and return the history of the finished epochs.

        Raises UsageError if there is no backup, if it is damaged, or if it is of another run.
        """
        if not self.exists():
            raise UsageError(f"nothing to resume in {self.folder.parent}: leave out --resume to start a training")
        shutil.rmtree(self.working, ignore_errors=True)
        try:
            with zipfile.ZipFile(self.snapshot) as archive:
                self._check(json.loads(archive.read(_IDENTITY)))
                self._unpack(archive)
                history: History = json.loads(archive.read(_HISTORY))
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise UsageError(f"the backup {self.snapshot} is damaged: start again without --resume") from error
        return history

    def callbacks(self, history: History) -> list[Any]:
        """Return the callbacks that restore and back up, in the order Keras must call them."""
        keeper = keras.callbacks.BackupAndRestore(str(self.working), delete_checkpoint=False)
        return [keeper, _Snapshots(self, history)]

    def save(self, history: History) -> None:
        """Put Keras's files, the history and the identity into one archive, in one step."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(_IDENTITY, json.dumps(self.identity))
            archive.writestr(_HISTORY, json.dumps(history))
            for path in sorted(self.working.iterdir()):
                archive.write(path, _KERAS + path.name)
        write_atomically(self.snapshot, buffer.getvalue())

    def _check(self, found: dict[str, Any]) -> None:
        if found == self.identity:
            return
        keys = sorted(found.keys() | self.identity.keys())
        differences = ", ".join(
            f"{key} {found.get(key)} instead of {self.identity.get(key)}"
            for key in keys
            if found.get(key) != self.identity.get(key)
        )
        raise UsageError(
            f"the backup in {self.folder.parent} is of another training ({differences}): resume with its options, "
            "or start again without --resume"
        )

    def _unpack(self, archive: zipfile.ZipFile) -> None:
        self.working.mkdir(parents=True)
        for name in archive.namelist():
            if name.startswith(_KERAS):
                (self.working / Path(name).name).write_bytes(archive.read(name))


class _Snapshots(keras.callbacks.Callback):
    """Adds each epoch to the history, then saves: runs after BackupAndRestore has written its files."""

    def __init__(self, backup: Backup, history: History) -> None:
        super().__init__()
        self._backup = backup
        self._history = history

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the epoch's losses and accuracies and commit the backup."""
        for key, value in (logs or {}).items():
            self._history.setdefault(key, []).append(round(float(value), 6))
        self._backup.save(self._history)
