"""What serves the repository and is not in the wheel."""
