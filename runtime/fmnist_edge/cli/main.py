"""The entry point: finds the command, and is the one place where errors become a line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, TextIO

import click

from fmnist_edge.cli.options import common_options, is_debugging, wanted_color
from fmnist_edge.errors import EXIT_FAILED, EXIT_OK, FmnistEdgeError, printable

# In the order that --help lists them: where each command is, in any room, imported only when it is called.
COMMANDS: Final = {
    "classify": "fmnist_edge.cli.classify:command",
    "classify-lake": "fmnist_edge.cli.classify_lake:command",
    "evaluate": "fmnist_bench.cli.evaluate:command",
    "plot": "fmnist_bench.cli.plot:command",
    "info": "fmnist_edge.cli.info:info",
    "verify": "fmnist_edge.cli.info:verify",
    "deploy": "fmnist_edge.cli.deploy:command",
    "data": "fmnist_edge.cli.data:command",
    "train": "fmnist_train.cli:train",
    "convert": "fmnist_convert.cli:convert",
    "compare": "fmnist_convert.cli:compare",
    "bench": "fmnist_bench.cli.bench:command",
}


# Errors of a write without room (on the disk, in the user's quota, in the largest file allowed), or without standard
# output, see `_open_missing_streams`.
_CANNOT_WRITE: Final = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG, errno.EBADF)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, or listed by --help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands that this copy of the package has."""
        return [name for name in COMMANDS if _is_here(name)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, or None if there is none of that name."""
        if cmd_name not in COMMANDS or not _is_here(cmd_name):
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what stands before the command; say where an option of a command belongs."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.possibilities:
                raise
            hint = f"Options of a command follow its name: fmnist-edge COMMAND {error.option_name}"
            raise click.UsageError(f"{error.format_message()} {hint}", ctx) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; where there is none, say which one may be meant."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            ctx.fail(f"No such command '{printable(name)}'.{_meant(name, COMMANDS)}")
        if name in COMMANDS and not _is_here(name):
            ctx.fail(f"'{name}' is not in this copy, which has the runtime only; install the whole package.")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn what goes wrong into one line on standard error and an exit code."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except FmnistEdgeError as error:
            _report(error, is_debugging(ctx), str(error))
            ctx.exit(error.exit_code)
        except BrokenPipeError:
            _silence(sys.stdout)
            ctx.exit(EXIT_OK)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if _cannot_write(error):
                _silence(sys.stdout)  # what is still in its buffer does not fit either
            _report(error, is_debugging(ctx), _line(error))
            if _cannot_write(error) and not is_debugging(ctx):
                _silence(sys.stderr)  # libraries would say the same of the files that they close at the end
            ctx.exit(EXIT_FAILED)


def _is_here(name: str) -> bool:
    """Tell whether the room of a command is here: a zip may have the runtime only."""
    room = find_spec(COMMANDS[name].partition(".")[0])
    return room is not None and room.origin is not None  # a folder without code has no origin


def _meant(name: str, commands: Iterable[str]) -> str:
    """Return a hint for a command that does not exist, beginning with a blank; or nothing."""
    from difflib import get_close_matches

    if close := get_close_matches(name, commands, 1):
        return f" Did you mean '{close[0]}'?"
    if name == "help":
        return " For help: fmnist-edge --help, or fmnist-edge COMMAND --help"
    if os.path.exists(name):
        return f" To classify it: fmnist-edge classify {printable(name)}"
    return ""


def _cannot_write(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _CANNOT_WRITE


def _line(error: Exception) -> str:
    """Return the line for an error that no part of the package expects."""
    if isinstance(error, OSError) and error.errno == errno.EBADF:
        return "cannot write the output: standard output is closed"
    if isinstance(error, OSError) and _cannot_write(error):
        return f"cannot write the output: {os.strerror(error.errno or 0)}; make room and run it again"
    if isinstance(error, PermissionError) and error.filename:
        return f"cannot read or write {error.filename}: {error.strerror}"
    return f"unexpected {type(error).__name__}: {error} (run again with --debug to see where)"


def _report(error: Exception, debug: bool, line: str) -> None:
    """Print the error for people: one line, or the traceback where --debug asks for it."""
    with contextlib.suppress(OSError):  # standard error may be full as well
        if debug:
            import traceback

            traceback.print_exception(error, file=sys.stderr)
        click.echo(f"Error: {printable(' '.join(line.splitlines()))}", err=True)


def _silence(stream: TextIO) -> None:
    """Let what still comes go nowhere, such as the interpreter's last flush into a pipe that its reader has closed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_missing_streams() -> None:
    """Put something in the place of standard streams that are closed, as after `>&-`.

    Otherwise the next file that is opened would take their place, and what a library prints would end in it. Reading
    standard input and writing standard output fails then, as it should; what is for people goes nowhere.
    """
    for number, name, flags in ((0, "stdin", os.O_WRONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is not None:
            continue
        opened = os.open(os.devnull, flags)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        setattr(sys, name, open(number, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))  # noqa: SIM115


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from fmnist_edge.cli.info import version_line

    click.echo(version_line())
    ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the versions of package, model and onnxruntime.",
)
@common_options
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Classify images of clothes with a small int8 ONNX network, and make, check and measure such networks.

    Exit codes: 0 all well; 1 some input failed, or a gate, comparison or verification did not hold;
    2 wrong usage; 3 no usable model, data or cluster, or it could not be fetched.
    """
    ctx.color = wanted_color()


def main() -> None:
    """Run the command line (the `fmnist-edge` script)."""
    _open_missing_streams()
    try:
        cli(prog_name="fmnist-edge")
    except OSError as error:  # of --help and --version, which are printed before any command is invoked
        if not _cannot_write(error):
            raise
        _silence(sys.stdout)
        _report(error, False, _line(error))
        sys.exit(EXIT_FAILED)
