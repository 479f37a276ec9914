"""A comparison as text for a terminal, as Markdown and as CSV."""

import pandas as pd

from refract.evaluation.measures.metrics_file import significant
from refract.evaluation.measures.verdict import LEVEL
from refract.experiments.compare.experiments import Comparison
from refract.experiments.compare.paired import Difference, holm

_MOST_FILES = 8


def difference_table(differences: list[Difference]) -> pd.DataFrame:
    """A row a metric, with numbers as numbers."""
    corrected = holm(differences)
    return pd.DataFrame(
        {
            "metric": d.metric,
            "better": "?" if d.direction is None else str(d.direction),
            "A": significant(d.mean_a),
            "B": significant(d.mean_b),
            "B - A": significant(d.difference.mean),
            "low": significant(d.difference.low),
            "high": significant(d.difference.high),
            "n": d.difference.count,
            "verdict": d.verdict,
            "p": significant(d.p),
            "p Holm": significant(p),
        }
        for d, p in zip(differences, corrected, strict=True)
    )


def beyond_noise_line(differences: list[Difference]) -> str:
    """How many metrics moved, beside what chance alone would move."""
    moved = [d for d in differences if d.beyond_noise]
    kept = sum(p < LEVEL for p in holm(differences))
    return (
        f"{len(moved)} of {len(differences)} metrics beyond noise; about {LEVEL:.0%} "
        f"({LEVEL * len(differences):.1f}) are expected to be by chance alone. "
        f"{kept} remain after Holm's correction."
    )


def settings_lines(comparison: Comparison) -> list[str]:
    """What was changed: settings, then code and data."""
    lines = [f"{key}: {old} -> {new}" for key, (old, new) in comparison.settings.items()]
    lines = lines or ["no setting differs"]
    files = comparison.files
    if files:
        more = f" and {len(files) - _MOST_FILES} more" if len(files) > _MOST_FILES else ""
        lines.append(f"code or data differ: {', '.join(files[:_MOST_FILES])}{more}")
    return lines


def as_text(comparison: Comparison) -> str:
    """For a terminal."""
    blocks = [f"A = {comparison.a}\nB = {comparison.b}", "\n".join(settings_lines(comparison))]
    for half, differences in comparison.halves.items():
        blocks.append(f"{half}\n{_shown(differences).to_markdown(tablefmt='simple', **_LAYOUT)}")
        blocks.append(beyond_noise_line(differences))
    return "\n\n".join(blocks) + "\n"


def as_markdown(comparison: Comparison) -> str:
    """The same as a document."""
    blocks = [f"# {comparison.b} against {comparison.a}", f"A = {comparison.a}, B = {comparison.b}"]
    blocks.append("\n".join(f"- {line}" for line in settings_lines(comparison)))
    for half, differences in comparison.halves.items():
        blocks += [f"## {half}", _shown(differences).to_markdown(**_LAYOUT)]
        blocks.append(beyond_noise_line(differences))
    blocks.append(
        "Differences are paired by item, with 95% percentile-bootstrap intervals over items. "
        "`better` says which way is better; p is of the sign-flip test of the mean."
    )
    return "\n\n".join(blocks) + "\n"


def as_csv(comparison: Comparison) -> str:
    """All halves in one table."""
    tables = [
        difference_table(differences).assign(half=half)
        for half, differences in comparison.halves.items()
    ]
    return pd.concat(tables, ignore_index=True).to_csv(index=False, lineterminator="\n")


_LAYOUT = {"index": False, "disable_numparse": True}  # as text: its digits are chosen below


def _shown(differences: list[Difference]) -> pd.DataFrame:
    """The table for eyes: the interval in one cell, five digits."""
    table = difference_table(differences)
    signed = [f"{low:+.5g}, {high:+.5g}" for low, high in zip(table.low, table.high, strict=True)]
    shown = table.assign(interval=[f"[{ends}]" for ends in signed])
    shown["B - A"] = [f"{value:+.5g}" for value in table["B - A"]]
    for name in ("A", "B"):
        shown[name] = [f"{value:.5g}" for value in table[name]]
    for name in ("p", "p Holm"):
        shown[name] = [f"{value:.2g}" for value in table[name]]
    columns = ["metric", "better", "A", "B", "B - A", "interval", "n", "verdict", "p", "p Holm"]
    return shown[columns].rename(columns={"interval": "95% interval"})
