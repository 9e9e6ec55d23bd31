"""The report of an evaluation: one HTML page that needs nothing else. Needs the extra [plot]."""
