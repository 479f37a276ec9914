"""The log line and the curve file shared by the image recipes."""

import csv
import time
from pathlib import Path


class Progress:
    """Prints one line every `every` steps and appends it to a CSV of step, loss, s/step."""

    def __init__(self, name: str, steps: int, first: int, every: int, curve: Path) -> None:
        self.name, self.steps, self.every, self.curve = name, steps, every, curve
        self._losses: list[float] = []
        self._since = time.perf_counter()
        curve.parent.mkdir(parents=True, exist_ok=True)
        if first == 0 or not curve.exists():
            curve.write_text("step,loss,seconds_per_step\n")

    def update(self, step: int, loss: float) -> None:
        """Count step number `step` (from 1)."""
        self._losses.append(loss)
        if step % self.every and step != self.steps:
            return
        mean = sum(self._losses) / len(self._losses)
        pace = (time.perf_counter() - self._since) / len(self._losses)
        eta = (self.steps - step) * pace / 60
        print(
            f"{self.name} step {step}/{self.steps} ({100 * step / self.steps:.0f}%) "
            f"loss {mean:.4f} {pace:.3f} s/step ETA {eta:.1f} min",
            flush=True,
        )
        with self.curve.open("a", newline="") as file:
            csv.writer(file).writerow([step, f"{mean:.5f}", f"{pace:.4f}"])
        self._losses.clear()
        self._since = time.perf_counter()
