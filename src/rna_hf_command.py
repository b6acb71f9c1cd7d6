"""Starts the command `rna-hf`.

`import rna_hf` makes its models known to transformers, which takes seconds. A command that prints its help or complains
about its arguments needs none of that. So commands start here, beside the package, which sees in `sys.modules` that
registration can wait until a model is opened.
"""

from rna_hf.cli.main import run

__all__ = ["run"]

if __name__ == "__main__":
    raise SystemExit(run())
