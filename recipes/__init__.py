"""How the bundled checkpoints came about, from raw data to card: a package a training. None of it is in the wheel."""
