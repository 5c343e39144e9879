from __future__ import annotations

import sys
from pathlib import Path

# The gates and files of the uploads' tests.
sys.path.insert(0, str(Path(__file__).parent.parent / "upload"))
