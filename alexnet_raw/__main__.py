"""``python -m alexnet_raw`` is ``alexnet-raw``."""

import sys

from alexnet_raw.cli import main

sys.exit(main())
