"""`python -m tachograph`."""

import sys

from tachograph.cli import main

if __name__ == "__main__":
    sys.exit(main())
