"""What a long training tells: one log line and one CSV row every so often."""

import csv
import logging
import time
from pathlib import Path
from statistics import fmean

log = logging.getLogger(__name__)


class Progress:
    """Averages what is noted between two reports; rows after the resumed step are dropped."""

    def __init__(self, csv_path: Path, start: int, steps: int) -> None:
        self._path = csv_path
        self._steps = steps
        self._last_step = start
        self._last_time = time.monotonic()
        self._noted: dict[str, list[float]] = {}
        csv_path.parent.mkdir(parents=True, exist_ok=True)
        rows: list[dict[str, str]] = []
        if csv_path.exists():
            with csv_path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= start]
        self._rows = rows

    def note(self, **values: float) -> None:
        for name, value in values.items():
            self._noted.setdefault(name, []).append(value)

    def report(self, step: int) -> None:
        """Log and store the means since the last report."""
        now = time.monotonic()
        pace = (now - self._last_time) / max(1, step - self._last_step)
        means = {name: fmean(values) for name, values in self._noted.items()}
        shown = " ".join(f"{name} {value:.4f}" for name, value in means.items())
        left = (self._steps - step) * pace / 60
        share = 100 * step / self._steps
        log.info("step %d %.0f%% %s %.3f s/step, %.1f min left", step, share, shown, pace, left)
        self._rows.append({"step": str(step)} | {k: f"{v:.6g}" for k, v in means.items()})
        columns = list(dict.fromkeys(key for row in self._rows for key in row))
        with self._path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)
        self._noted, self._last_step, self._last_time = {}, step, now
