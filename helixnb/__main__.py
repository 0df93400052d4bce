"""Lets ``python -m helixnb`` do what the ``helixnb`` command does."""

import sys

from helixnb.cli import main

if __name__ == "__main__":
    sys.exit(main())
