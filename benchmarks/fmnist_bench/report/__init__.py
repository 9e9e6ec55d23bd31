"""bench.json as people read it: Markdown, one HTML page, charts, and the form that github-action-benchmark reads."""
