"""`python -m tools.report`."""

import sys

from .cards import main

if __name__ == "__main__":
    sys.exit(main())
