"""`python -m dnsnb` is `dnsnb`."""

import sys

from dnsnb.cli import main

if __name__ == "__main__":
    sys.exit(main())
