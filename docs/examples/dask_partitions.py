"""Label a column `path` of CSV files with Dask: `python dask_partitions.py 'lists/*.csv'` (needs dask[dataframe]).

The classifier is pickled into each task; every process of Dask opens the model once.
"""

import sys

import dask.dataframe as dd
import pandas as pd

from fmnist_edge import Classifier, ImageError


def label(part: pd.DataFrame, classifier: Classifier) -> pd.DataFrame:
    def name(path: str) -> str:
        try:
            return classifier.classify(path).label
        except ImageError as error:
            return f"error: {error.code}"

    return part.assign(label=part["path"].map(name))


if __name__ == "__main__":
    paths = dd.read_csv(sys.argv[1])
    labelled = paths.map_partitions(label, Classifier(), meta={"path": str, "label": str})
    for path, answer in labelled.compute(scheduler="processes").values:
        print(f"{path}: {answer}")
