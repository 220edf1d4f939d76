"""`python -m edge_imprint.cli` is the `edge-imprint` command."""

from __future__ import annotations

import sys

from edge_imprint.cli import main

sys.exit(main())
