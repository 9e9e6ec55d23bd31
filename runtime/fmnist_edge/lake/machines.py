"""Whether all machines of a cluster can do what they will be asked to, and give the same answers."""

from __future__ import annotations

import re
from typing import Final

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fmnist_edge.errors import ClusterError
from fmnist_edge.lake.job import library_versions

_REMEDY: Final = "install the same fmnist-edge, onnxruntime and Pillow on all machines of the cluster"


def check_machines(versions: tuple[str, ...]) -> None:
    """Raise ClusterError unless every machine of the connected cluster has these versions (see `library_versions`)."""
    ask = ray.remote(num_cpus=0, max_retries=0)(library_versions)
    asked = {
        node["NodeManagerHostname"]: ask.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in ray.nodes()
        if node["Alive"]
    }
    for host, answer in asked.items():
        try:
            found = ray.get(answer)
        except RayError as error:
            raise ClusterError(f"{host} cannot run fmnist-edge ({_last_line(error)}); {_REMEDY}") from error
        check_versions(found, versions, host)


def check_versions(found: tuple[str, ...], wanted: tuple[str, ...], host: str) -> None:
    """Raise ClusterError if a machine has other versions than the one that started the run."""
    if found != wanted:
        raise ClusterError(f"{host} has {', '.join(found)}, this machine {', '.join(wanted)}; {_REMEDY}")


def _last_line(error: RayError) -> str:
    """Return the last line of what an error says, which is the cause in a traceback, without colours."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), type(error).__name__)
