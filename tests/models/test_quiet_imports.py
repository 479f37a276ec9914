"""bitsandbytes is imported by peft where it is installed; its words are not a stage's."""

import os
import subprocess
import sys
from pathlib import Path

NOISY = """
import logging, sys
print("written to stderr", file=sys.stderr)
logging.getLogger("bitsandbytes.backends").warning("logged as a warning")
imported = True
"""
# As a stage does it: a handler on the stream as it is, before anything large is imported.
START = """
import logging, sys
logging.basicConfig()
import refract.infrared.training.job
print(sys.modules["bitsandbytes"].imported)
"""


def test_what_bitsandbytes_says_at_its_import_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "bitsandbytes").mkdir()
    (tmp_path / "bitsandbytes" / "__init__.py").write_text(NOISY)
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", START],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n", "it is imported all the same"
    assert "written" not in done.stderr and "logged" not in done.stderr
