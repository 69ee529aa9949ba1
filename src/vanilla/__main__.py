"""`python -m vanilla` is the command `vanilla`."""

import sys

from vanilla.cli import main

sys.exit(main())
