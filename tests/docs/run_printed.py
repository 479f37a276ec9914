"""Run Python blocks as a reader would, and check command lines, in one fresh interpreter.

Standard input: {"blocks": [[place, text], ...], "commands": [[place, [module, option, ...]], ...]}.
The options are parsed by the module itself, which is stopped there. A list of what failed goes into
the file that the first argument names.
"""

import argparse
import json
import runpy
import sys
import traceback
from pathlib import Path
from typing import Any


class Parsed(Exception):
    """Raised in place of what comes after the parsing."""


def main() -> None:
    asked, report = json.load(sys.stdin), Path(sys.argv[1])
    failures = []
    for place, text in asked["blocks"]:
        try:
            exec(compile(text, place, "exec"), {"__name__": "__main__"})
        except Exception:
            failures.append(f"{place}: {traceback.format_exc()}")
    original = argparse.ArgumentParser.parse_args

    def parse_only(self: argparse.ArgumentParser, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        raise Parsed

    argparse.ArgumentParser.parse_args = parse_only  # type: ignore[assignment, method-assign]
    for place, words in asked["commands"]:
        if (failure := _parse(words)) is not None:
            failures.append(f"{place}: {' '.join(words)}: {failure}")
    report.write_text(json.dumps(failures))


def _parse(words: list[str]) -> str | None:
    sys.argv = list(words)
    try:
        runpy.run_module(words[0], run_name="__main__")
    except Parsed:
        return None
    except SystemExit as end:
        return f"exit code {end.code}"
    except Exception:
        return traceback.format_exc()
    return "reads no options"


if __name__ == "__main__":
    main()
