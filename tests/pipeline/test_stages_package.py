import os
import shutil
import subprocess
import sys
from pathlib import Path


def test_stages_run_the_code_of_their_own_checkout(root: Path, tmp_path: Path) -> None:
    """In DVC's temporary workspaces the editable install points at another checkout."""
    (tmp_path / "stages").mkdir()
    shutil.copy(root / "stages/__init__.py", tmp_path / "stages/__init__.py")
    package = tmp_path / "src" / "refract"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("WHERE = 'the temporary checkout'\n")
    done = subprocess.run(
        [sys.executable, "-c", "import stages, refract; print(refract.WHERE)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "the temporary checkout\n", done.stderr
