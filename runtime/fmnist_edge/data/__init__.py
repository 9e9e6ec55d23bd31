"""The dataset and the photos: where they lie, how they are checked and fetched."""
