"""Markdown tables of benchmark results."""

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats with three significant digits, all else as `str` has it.

    Raises:
        ValueError: a row of another length than the header.
    """
    lines = [_line(header), _line(["---"] * len(header))]
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"row {list(row)} has {len(row)} cells, the header {len(header)}")
        lines.append(_line([_cell(value) for value in row]))
    return "\n".join(lines)


def _cell(value: object) -> str:
    """`%g` with three digits, but never in powers of ten between 0.0001 and a million."""
    if not isinstance(value, float):
        return str(value).replace("|", r"\|")
    if 1e3 <= abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.3g}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
