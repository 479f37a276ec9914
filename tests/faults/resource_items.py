"""Many items through one job of the pipeline, and what the process holds meanwhile.

python -m tests.faults.resource_items edits|pictures|banks COUNT FOLDER

Prints a JSON list of [items finished, resident bytes, open files, threads, child processes].
"""

import refract.models.torchvision_compat  # noqa: F401  (before diffusers)

# isort: split
import json
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil

from refract.infrared.inference.job import InferenceJob
from refract.params.infer_ir import InferIr
from refract.params.models import InfraredModelParams
from refract.pipeline.item_store import state_root
from refract.pipeline.store import TEMPORARY_PREFIX
from tests.infrared.test_generator import write_adapter
from tests.infrared.test_inference_job import trained_on
from tests.tiny.edit import Workshop, tiny_model
from tests.tiny.fill import write_tiny_fill, write_triptychs

Sample = tuple[int, int, int, int, int]
_EVERY_S = 0.05
_VARIANTS = 3  # pictures that infer_ir makes of a scene


class Watch:
    """Samples this process until told to stop; `stage` is the folder of the store that fills."""

    def __init__(self, stage: str) -> None:
        self.samples: list[Sample] = []
        self._folder = state_root() / stage
        self._process = psutil.Process()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._take()

    def _run(self) -> None:
        while not self._done.wait(_EVERY_S):
            self._take()

    def _take(self) -> None:
        slots = [path for path in self._folder.glob("*") if TEMPORARY_PREFIX not in path.name]
        process = self._process
        self.samples.append(
            (
                len(slots), process.memory_info().rss, process.num_fds(), process.num_threads(),
                len(process.children(recursive=True)),
            )
        )  # fmt: skip


def edits(folder: Path, count: int) -> tuple[str, Callable[[], object]]:
    """Plain edits and the clips for the eye; no product, so that an item is cheap."""
    shop = Workshop(folder, tiny_model(folder))
    shop.set("flowalign", steps=2, strength=1.0)
    cases = {  # some clips are of one colour, but no two prompts are the same
        f"case{number}": shop.case(f"case{number}", number, target_prompt=f"a mug {number}")
        for number in range(count)
    }
    for number in range(count):  # without a photo there is no reference
        (folder / "data" / "products" / f"case{number}" / "product.png").unlink()
    return "flowalign_edit", lambda: shop.edit(cases)


def banks(folder: Path, count: int) -> tuple[str, Callable[[], object]]:
    shop = Workshop(folder, tiny_model(folder))
    cases = {f"case{number}": shop.case(f"case{number}", number) for number in range(count)}
    return "extract_ref_banks", lambda: shop.extract(cases)


def pictures(folder: Path, count: int) -> tuple[str, Callable[[], object]]:
    model = write_tiny_fill(folder / "model")
    (folder / "adapter").mkdir()
    adapter = write_adapter(model, folder / "adapter", trained_on(model))
    triptychs = write_triptychs(folder / "triptychs", {"test": -(-count // _VARIANTS)})
    settings = InferIr.model_validate(
        {
            "steps": 2, "guidance": None, "prompt": None, "match_training": True, "batch": 2,
            "input": None, "samples": 1, "bits": 8,
            "attention_maps": {"regions": None, "steps": [0], "scenes": 4},
        }
    )  # fmt: skip
    section = InfraredModelParams(
        path=str(model), revision=None, dtype="float32", max_sequence_length=16
    )
    job = InferenceJob(settings, section, 0, adapter)
    return "infer_ir", lambda: job.run(triptychs, folder / "infrared")


JOBS = {"edits": edits, "banks": banks, "pictures": pictures}


def main() -> None:
    logging.disable(logging.CRITICAL)
    kind, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    stage, job = JOBS[kind](folder, count)
    with Watch(stage) as watch:
        job()
    print(json.dumps(watch.samples))


if __name__ == "__main__":
    main()
