"""What teaching and recognising cost on the machine at hand: time, memory, cold start, warmth, power.

`profile` measures, `Profile` is what it found, `compare` puts two side by side. The command is `edge-imprint profile`.
"""

from edge_imprint.profiling.compare import Row, compare, exceeded
from edge_imprint.profiling.result import SCHEMA, Profile, Stage
from edge_imprint.profiling.run import profile
from edge_imprint.profiling.subject import Subject

__all__ = ["SCHEMA", "Profile", "Row", "Stage", "Subject", "compare", "exceeded", "profile"]
