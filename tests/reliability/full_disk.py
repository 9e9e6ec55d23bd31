"""Running a command where there is no room, or no permission, to write: in a file system that ends with it."""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

SCRIPT: Final = str(Path(sys.executable).with_name("fmnist-edge"))
# Mounting needs a name space: of its own for root, and for anyone else one in which they are root.
_NAME_SPACE: Final = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]


class Ended(NamedTuple):
    """How a command ended, and what it left."""

    code: int
    output: bytes
    told: str
    """What it said on standard error."""
    files: list[str]
    """All files below the folder, hidden ones too, and `= content` behind those of a line."""


@functools.cache
def can_mount() -> bool:
    """Tell whether this user may have a file system of their own on this machine."""
    try:
        command = [*_NAME_SPACE, "mount", "-t", "tmpfs", "none", "/tmp"]
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    except OSError:
        return False


def run_in(folder: Path, arguments: list[str], *, size: str = "", stdout: str = "", old: str = "") -> Ended:
    """Run `fmnist-edge` with a tmpfs of `size` mounted on `folder`, or one that is read-only if that is empty.

    `old` names a file that is there before; `stdout` is where standard output is redirected to.
    """
    listing = folder.parent / "listing"
    lines = [
        f"mount -t tmpfs -o size={size or '1m'} none {shlex.quote(str(folder))}",
        f"echo old > {shlex.quote(str(folder / old))}" if old else "true",
        "true" if size else f"mount -o remount,ro {shlex.quote(str(folder))}",
        f"{shlex.join([SCRIPT, *arguments])} {f'> {shlex.quote(stdout)}' if stdout else ''}",
        "code=$?",
        f"cd {shlex.quote(str(folder))} && find . -type f -printf '%P ' -exec head -c 4 {{}} \\; -printf '\\n' "
        f"> {shlex.quote(str(listing))}",
        "exit $code",
    ]
    environment = {**os.environ, "TMPDIR": str(folder.parent)}
    script = folder.parent / "script.sh"  # as an argument it may have 128 KiB
    script.write_text("\n".join(lines))
    done = subprocess.run([*_NAME_SPACE, "sh", str(script)], capture_output=True, env=environment, timeout=600)
    files = [line.strip() for line in listing.read_text(errors="replace").splitlines() if line.strip()]
    return Ended(done.returncode, done.stdout, done.stderr.decode(), sorted(files))
