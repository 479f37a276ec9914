"""Keep what bitsandbytes says when it is imported out of a stage's log.

peft imports it wherever it is installed, whatever runs, and diffusers imports peft. On some CPUs it
then warns of a kernel that it would fetch from the hub, which no run here needs.
"""

import io
import logging
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_NAME = "bitsandbytes"


class _QuietFinder(MetaPathFinder):
    """Finds the package where it lies, and runs it without stderr and without warnings."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == _NAME else None
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_quietly(module: ModuleType) -> None:
                logger = logging.getLogger(_NAME)
                level = logger.level
                logger.setLevel(logging.ERROR)
                try:
                    with redirect_stderr(io.StringIO()):
                        run(module)
                finally:
                    logger.setLevel(level)

            spec.loader.exec_module = run_quietly  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _QuietFinder())
