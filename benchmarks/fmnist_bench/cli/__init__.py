"""The commands of this room: bench, evaluate, plot."""
