"""Label image files with Spark: `python spark_udf.py 's3a://bucket/photos/*.jpg'` (needs pyspark and pyarrow).

The classifier is pickled into the function; every Python process of Spark opens the model once.
"""

import sys

import pandas as pd
from pyspark.sql import SparkSession, functions

from fmnist_edge import Classifier, ImageError

classifier, spark = Classifier(), SparkSession.builder.getOrCreate()


@functions.pandas_udf("string")
def label(images: pd.Series) -> pd.Series:
    def name(image: bytes) -> str:
        try:
            return classifier.classify(bytes(image)).label
        except ImageError as error:
            return f"error: {error.code}"

    return images.map(name)


photos = spark.read.format("binaryFile").load(sys.argv[1])
for path, answer in photos.select("path", label("content")).toLocalIterator():
    print(f"{path}: {answer}")
