"""Training of the photo model: composites, segmenter, drawing, head."""
