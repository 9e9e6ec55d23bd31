"""The `fmnist-edge` script and `python -m fmnist_edge`: the command line in a process of its own."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import NoReturn

from fmnist_edge.errors import EXIT_FAILED, EXIT_OK


def run() -> NoReturn:
    """Run the command line and end the process at once.

    What the interpreter does last, taking numpy and onnxruntime apart, would cost each call some 15 ms.
    """
    code: object = EXIT_OK
    try:
        from fmnist_edge.cli.main import main  # not above: Ctrl-C during this import also ends quietly

        main()
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        code = EXIT_FAILED
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # the reader left, or the stream is closed
            stream.flush()
    os._exit(code if isinstance(code, int) else EXIT_OK if code is None else EXIT_FAILED)


if __name__ == "__main__":
    run()
