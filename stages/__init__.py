"""Stages run the code of the checkout they lie in.

DVC's temporary and queued workspaces are checkouts of their own, while an editable install points
at the main one; without this line such an experiment would silently run the main tree's package.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
