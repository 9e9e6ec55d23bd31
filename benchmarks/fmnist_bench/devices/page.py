"""`python -m fmnist_bench.devices.page`: docs/devices.md from the JSON of a whole run of the matrix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click
import jinja2

from fmnist_bench.devices.matrix import DEVICES
from fmnist_bench.devices.table import markdown
from fmnist_bench.devices.workload import SCENES

TEMPLATE: Final = Path(__file__).with_name("page.md.jinja")


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True), default=Path("build/devices/devices.json"))
@click.argument("target", type=click.Path(path_type=Path), default=Path("docs/devices.md"))
def main(source: Path, target: Path) -> None:
    """Write the page of a run in which every row of the matrix was run."""
    matrix = json.loads(source.read_text())
    missing = {device.name for device in DEVICES} - {row["device"] for row in matrix["rows"] if row["classifier"]}
    if missing:
        raise click.ClickException(f"{source} has no answers of {', '.join(sorted(missing))}: run `make devices` first")
    target.write_text(page(matrix))
    click.echo(f"wrote {target}")


def page(matrix: dict[str, Any]) -> str:
    """Return the page."""
    models = [f"{model['name']} {model['version']}, SHA-256 {model['sha256'][:12]}" for model in matrix["models"]]
    photos = max(row["photos"]["photos"] for row in matrix["rows"] if row["photos"]) - SCENES
    template = jinja2.Template(TEMPLATE.read_text(), keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    return template.render(machine=matrix["machine"], models=models, photos=photos, tables=markdown(matrix))


if __name__ == "__main__":
    main()
