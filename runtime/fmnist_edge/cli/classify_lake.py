"""`fmnist-edge classify-lake`: images in any storage to Parquet files, on Ray. Needs the extra [ray]."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from fmnist_edge.cli.options import common_options, model_option, note, shows_progress
from fmnist_edge.errors import EXIT_FAILED, MissingExtraError, ModelError, UsageError


@click.command("classify-lake")
@click.argument("source")
@click.option("-o", "--out", required=True, metavar="DEST", help="Folder or URI for the results.")
@click.option("--column", metavar="NAME", help="Of Parquet files: the column of encoded images.")
@click.option("--endpoint", metavar="URL", help="A server that speaks S3, such as http://minio:9000.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes.  [default: one a CPU]")
@click.option("--batch-size", type=click.IntRange(1), metavar="N", help="Images of a result file.")
@model_option
@common_options
@click.pass_context
def command(
    ctx: click.Context, source: str, out: str, column: str | None, endpoint: str | None, workers: int | None,
    batch_size: int | None, model: Path | None,
) -> None:  # fmt: skip
    """Classify any number of images on a Ray cluster. From any storage, into a folder of Parquet files.

    SOURCE is a folder (with all that is in it), an image, or with --column a Parquet file or a folder of them: a path,
    or a URI such as s3://bucket/photos. The same command again goes on with a run that was stopped, and adds images
    that came later. RAY_ADDRESS names a cluster; without it, one is started on this machine.
    """
    for module in ("ray", "pyarrow"):
        if find_spec(module) is None:
            raise MissingExtraError("classify-lake", "ray", module)
    if endpoint and not any(place.startswith("s3://") for place in (source, out)):
        raise UsageError("--endpoint has no effect: neither SOURCE nor DEST is in s3://")
    if model and not model.is_file():
        raise ModelError(f"no model at {model}")
    from fmnist_edge.lake import Lake, classify_lake, open_place

    places = open_place(source, endpoint), open_place(out, endpoint)
    lake = Lake(*places, column, (model.name, model.read_bytes()) if model else None)
    classified, failed = classify_lake(lake, workers, batch_size, bar=shows_progress())
    note(f"{classified:,} classified, {failed:,} failed: the results are in {lake.results.shown}.")
    if failed:
        ctx.exit(EXIT_FAILED)
