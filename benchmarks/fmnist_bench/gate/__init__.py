"""Whether something got slower: ratios of one run, thresholds from its own spread."""
