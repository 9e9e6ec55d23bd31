"""Programs that are measured as whole processes: for each contender the shortest honest way to a label."""
