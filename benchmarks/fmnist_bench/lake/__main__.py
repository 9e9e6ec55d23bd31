"""`python -m fmnist_bench.lake measure|figures`: what `make lake-bench` and `make lake-figures` call."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fmnist_bench.lake.figures import insert
from fmnist_bench.lake.measuring import measure


@click.group()
def main() -> None:
    """Measure classify-lake against classify, and write the figures into the pages."""


@main.command("measure")
@click.option("--images", default=20_000, show_default=True, help="Of each lake.")
@click.option("--rounds", default=3, show_default=True, help="Counted ones; one more comes before.")
@click.option("--s3-images", default=2_000, show_default=True, help="Read from S3, of each kind.")
@click.option("--lakes", type=click.Path(path_type=Path), default=Path("build/lakes"), show_default=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("build/lake-bench.json"), show_default=True
)
def measure_command(images: int, rounds: int, s3_images: int, lakes: Path, output: Path) -> None:
    """Measure, and write the figures as JSON."""
    lakes.mkdir(parents=True, exist_ok=True)
    found = measure(lakes, images, rounds, s3_images, lambda line: click.echo(line, err=True))
    output.write_text(json.dumps(found, indent=1) + "\n", encoding="ascii")


@main.command("figures")
@click.argument("measured", type=click.Path(path_type=Path, exists=True))
@click.argument("pages", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def figures_command(measured: Path, pages: tuple[Path, ...]) -> None:
    """Write the figures into pages."""
    for page in pages:
        insert(page, json.loads(measured.read_text(encoding="ascii")))


main()
