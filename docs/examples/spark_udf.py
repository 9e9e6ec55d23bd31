"""Label a column of images with Spark: `python spark_udf.py 's3a://bucket/photos/*.jpg'` (needs pyspark and pyarrow).

The classifier is pickled into the function; each of Spark's Python processes opens a session of its own, once.
"""

import sys

import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf
from pyspark.sql.types import StringType

from fmnist_edge import Classifier, ImageError

classifier = Classifier()


def name(image: bytes) -> str:
    """Return the label of the bytes of an image file."""
    try:
        return classifier.classify(bytes(image)).label
    except ImageError as error:
        return f"error: {error.code}"


@pandas_udf(StringType())
def label(images: pd.Series) -> pd.Series:
    """Return the labels of a batch."""
    return images.map(name)


if __name__ == "__main__":
    photos = SparkSession.builder.getOrCreate().read.format("binaryFile").load(sys.argv[1])
    for path, answer in photos.select("path", label("content")).toLocalIterator():
        print(f"{path}: {answer}")
