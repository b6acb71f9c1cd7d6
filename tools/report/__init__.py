"""Cards of the bundled checkpoints and the generated parts of README.md: `python -m tools.report`, or `make cards`."""
