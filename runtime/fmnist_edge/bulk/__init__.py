"""Many files in a stream: walking folders, classifying, explaining."""
