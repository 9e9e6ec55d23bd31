"""From any file to pixels: opening, decoding, colour profiles."""
