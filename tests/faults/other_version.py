"""`python -m tests.faults.other_version MODULE ...`: with store keys of another version."""

import runpy
import sys

from refract.pipeline import item_store

if __name__ == "__main__":
    item_store._KEY_FORMAT = 0
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
