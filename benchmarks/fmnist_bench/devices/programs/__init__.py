"""What runs on the devices themselves: programs that need nothing of this project."""
