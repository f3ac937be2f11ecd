"""``python -m bridge`` is ``micropub-bridge``."""

import sys

from bridge.cli import main

sys.exit(main())
