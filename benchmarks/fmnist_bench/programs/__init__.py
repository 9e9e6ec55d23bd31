"""Programs that are measured, or that measure, as whole processes."""
