"""What `make lint` finds, as one of the tests: it runs beside the others, on one of the workers."""

import os
import subprocess
from pathlib import Path


def test_style_types_and_layers(root: Path) -> None:
    """Without installing anything; MAKEFLAGS would be those of the make that runs the tests."""
    own = {name: text for name, text in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")}
    command = ["make", "--silent", "--assume-old=install", "lint"]
    done = subprocess.run(command, cwd=root, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
