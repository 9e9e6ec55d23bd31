"""`fmnist-edge bench`: what the models cost on this machine, compared with the original and with an earlier commit."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fmnist_edge.cli.options import (
    FILE,
    FOLDER,
    check_outputs,
    common_options,
    data_option,
    note,
    overwrite_option,
    shows_progress,
    terminal_columns,
    text_or_json_option,
)
from fmnist_edge.errors import GateError, MissingExtraError, OutputError

if TYPE_CHECKING:
    from fmnist_bench.report import Page

_SUITE_NEEDS: Final = ("pytest", "pytest_benchmark", "jinja2", "tabulate")


@click.command("bench")
@click.option("--quick", is_flag=True, help="Few rounds and no conversion: about a minute.")
@click.option("--runtime-only", is_flag=True, help="Measure what needs the runtime alone, though more is installed.")
@click.option("--require-all", is_flag=True, help="Fail if a backend is not installed.")
@click.option("--model", type=FILE, metavar="FILE", help="Your .onnx file, instead of the shipped one.")
@click.option("--original", type=FILE, metavar="FILE", help="The model it was made from: .keras, .h5, float .onnx.")
@click.option(
    "--against",
    metavar="REVISION|FILE",
    help="A git revision, measured in turns with this checkout: exit code 1 if it got slower. Or a saved bench.json.",
)
@click.option("-o", "--output", type=FOLDER, metavar="DIR", help="Write the report to DIR.")
@overwrite_option
@data_option
@text_or_json_option
@common_options
def command(
    quick: bool,
    runtime_only: bool,
    require_all: bool,
    model: Path | None,
    original: Path | None,
    against: str | None,
    output: Path | None,
    overwrite: bool,
    data: Path | None,
    output_format: str,
) -> None:
    """Measure speed, memory, size and accuracy.

    With the runtime alone: one image, one PNG, photos, 10,000 images, a folder, cold start. The extra [bench] adds
    Keras, LiteRT, OpenVINO and numpy on the same weights, and the conversion. A report is bench.json (in
    pytest-benchmark's form), bench.md and bench.html.
    """
    from fmnist_bench.models import prepare
    from fmnist_bench.report import Results, page, read_results
    from fmnist_bench.workloads import measure_runtime, test_images
    from fmnist_edge.classifier import Classifier

    compares = against is not None and not against.endswith(".json")
    files = [output / f"{'against' if compares else 'bench'}.{end}" for end in ("json", "md", "html")] if output else []
    check_outputs(files, [model, original, data, None if compares else against], overwrite=overwrite)
    _make(output)
    if data:
        os.environ["FMNIST_DATA"] = str(data.resolve())
    if against and compares:
        if quick or runtime_only or require_all or model or original:
            raise click.UsageError("--against REVISION measures two commits as they are: leave out the other options.")
        _compare(against, test_images(draw=data is None), output, output_format)
        return
    if model:
        Classifier(model, route="dataset")  # the suite could only say that it failed
    earlier = read_results(Path(against)) if against else None
    alone = _only_runtime(runtime_only, needs_suite=require_all or original is not None)
    amount = (0.15, 2) if quick else (1.0, 5)  # seconds for each row, and its fewest rounds
    with tempfile.TemporaryDirectory(prefix="fmnist-bench-") as scratch:
        if alone:
            content = measure_runtime(model, test_images(draw=data is None), Path(scratch), *amount, _show)
        else:
            test_images()
            _show("making the files of the backends (half a minute, once)")
            prepare(original, model)
            options = ["--require-all"] * require_all + ["-k", "not convert"] * quick
            options += [
                f"--{name}={path.resolve()}" for name, path in {"original": original, "model": model}.items() if path
            ]
            content = _run_suite(options, Path(scratch), *amount)
    _show("")
    _publish("bench", content, page(Results(content), earlier), output, output_format)


def _make(output: Path | None) -> None:
    """Make the folder of the report, so that minutes of measuring are not lost to one that can't be written."""
    try:
        if output:
            output.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=output).close()
    except OSError as error:
        raise OutputError(f"cannot write to {output}: {error.strerror}; name another place") from error


def _only_runtime(wanted: bool, needs_suite: bool) -> bool:
    """Tell whether to measure the runtime alone: if asked to, or if the extra is not installed."""
    missing = next((module for module in _SUITE_NEEDS if find_spec(module) is None), None)
    if wanted and needs_suite:
        raise click.UsageError("--runtime-only leaves out the backends that --require-all and --original are about.")
    if missing and needs_suite:
        raise MissingExtraError("bench", "bench", missing)
    if missing and not wanted:
        note(f"measuring the runtime alone: other backends need the extra [bench] ({missing} is not installed)")
    return wanted or missing is not None


def _run_suite(options: Sequence[str], scratch: Path, seconds: float, fewest: int) -> dict[str, Any]:
    """Run the benchmarks by pytest. Raises GateError if one fails."""
    import fmnist_bench
    from fmnist_bench import environment

    here, result = Path(fmnist_bench.__file__).parent, scratch / "bench.json"
    suite = next(folder for folder in (here / "suite", here.parent) if (folder / "pytest.ini").is_file())
    command = [sys.executable, "-m", "pytest", "-v", "--benchmark-only", "--benchmark-quiet", *options, str(suite)]
    command += [f"--basetemp={scratch / 'tmp'}", f"--benchmark-storage={scratch / 'saved'}"]
    command += [f"--benchmark-max-time={seconds}", f"--benchmark-min-rounds={fewest}", f"--benchmark-json={result}"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    lines: list[str] = []
    with subprocess.Popen(command, env=environment(), **pipes) as process:
        for line in process.stdout or ():
            lines.append(line)
            if found := re.search(r"::test_(\S.*?\]|\w+)", line):
                _show(found[1])
    if process.returncode != 0:
        raise GateError("the benchmarks failed: " + "  ".join(lines[-20:]))
    content: dict[str, Any] = json.loads(result.read_bytes())
    return content


def _compare(revision: str, images: Any, output: Path | None, output_format: str) -> None:
    if find_spec("fmnist_bench.compare") is None:
        raise click.UsageError("--against REVISION measures revisions of a git checkout: run it in one.")
    from fmnist_bench.compare import check, compare, table
    from fmnist_bench.report import Page

    verdicts = compare(revision, images, _show)
    _show("")
    shown = Page("fmnist-edge: did it get slower?", f"This checkout against {revision}", [table(verdicts, revision)])
    figures = [vars(one) | {"ratio": one.ratio} for one in verdicts]
    content = {"fmnist-edge": "1", "against": revision, "figures": figures}
    _publish("against", content, shown, output, output_format)
    check(verdicts, revision)


def _publish(name: str, content: Any, shown: Page, output: Path | None, output_format: str) -> None:
    """Print the report and write its files; in a GitHub job, also add its Markdown to the job's summary."""
    from fmnist_bench.report import html, markdown, text
    from fmnist_edge.atomic import write_atomically

    renders = all(map(find_spec, ("jinja2", "tabulate")))
    if output:
        files = {f"{name}.json": json.dumps(content, indent=1) + "\n"}
        files |= {f"{name}.md": markdown(shown), f"{name}.html": html(shown)} if renders else {}
        for file, written in files.items():
            write_atomically(output / file, written)
        note(f"wrote {', '.join(files)} to {output}" + ("" if renders else "; the extra [bench] adds the pages"))
    if renders and (summary := os.environ.get("GITHUB_STEP_SUMMARY")):
        try:
            with Path(summary).open("a", encoding="utf-8") as job_summary:
                job_summary.write(markdown(shown) + "\n")
        except OSError as error:
            raise OutputError(f"cannot add to the job summary {summary}: {error.strerror}") from error
    click.echo(json.dumps(content, indent=1) if output_format == "json" else text(shown), nl=output_format == "json")


def _show(step: str) -> None:
    """Show on a terminal what is being measured; an empty step clears the line."""
    if shows_progress():
        click.echo(f"\r\033[K{step[: terminal_columns() - 2]}", nl=False, err=True)
