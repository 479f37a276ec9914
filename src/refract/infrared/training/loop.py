"""The training loop of the infrared adapter: LoRA and semantic attention, on `accelerate`.

Several processes divide each forward pass evenly and take the mean of their gradients; they go
through the same steps with the same weights. Under DDP the main one alone watches: what is logged,
validated, sampled and saved is its business, while the others wait at their next gradient. Where
the base is sharded a forward pass needs all of them, so all watch, and the main one alone writes.
"""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from refract.base.errors import InputError
from refract.infrared.adapter.model import InfraredModel
from refract.infrared.adapter.sample_draws import noise_and_time
from refract.infrared.training.checkpoint import CheckpointFolder
from refract.infrared.training.data import TrainingData
from refract.infrared.training.log import StepTimer, log_interval, log_step, warn_if_still
from refract.infrared.training.objective import flow_matching_loss, validation_loss
from refract.infrared.training.optimizer import build_optimizer
from refract.infrared.training.schedule import Schedule
from refract.infrared.training.weight_average import WeightAverage
from refract.infrared.training.weight_sharding import average_gradients, is_sharded, take_from_main
from refract.params.ir_adapter import IrAdapter
from refract.pipeline.stop_request import StopRequest, stop

logger = logging.getLogger(__name__)

_ROW_EVERY = 10  # steps between two rows of the curve
_SHAPES_LOGGED = 2  # forward passes whose tensor shapes are told at debug level
# Without it DDP sorts its buckets anew after the first step of a process, and more than two
# processes sum by the place in a bucket: a resumed training would differ in the last bits.
_DDP = DistributedDataParallelKwargs(find_unused_parameters=True)
_PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


@dataclass
class Training:
    """One training run. `sample(step)` is called at the start, each `sample_every`, at the end.

    `settings.batch` must be a multiple of the number of processes. Of several processes only those
    that watch have a curve, and the main one's is all there is.
    """

    model: InfraredModel
    settings: IrAdapter
    seed: int
    train: TrainingData
    validation: TrainingData
    checkpoints: CheckpointFolder
    sample: Callable[[int], None]

    def __post_init__(self) -> None:
        settings = self.settings
        self.schedule = Schedule(*settings.phase_steps, settings.finetune_lr_factor)
        self.accelerator = Accelerator(
            cpu=self.model.device.type == "cpu",
            mixed_precision=_PRECISION[settings.precision],
            gradient_accumulation_steps=settings.accumulation,
            kwargs_handlers=[_DDP],
        )
        self.main: bool = self.accelerator.is_main_process
        self.sharded = is_sharded(self.model.transformer)
        self.watches = self.main or self.sharded
        self.infrared = self.model.grid.infrared().to(self.model.device)
        self.trainable = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        averaged = settings.ema > 0 and self.watches
        self.average = WeightAverage(settings.ema, self.trainable) if averaged else None
        self.optimizer: Any = build_optimizer(self.trainable, settings)
        self.called: torch.nn.Module = self.model  # what a step calls; DDP's wrapper under DDP
        self.curve: list[dict[str, Any]] = []
        self.recent_losses: list[float] = []  # since the curve's last row

    def run(self) -> list[dict[str, Any]]:
        """Train to the end, from the newest checkpoint if any; returns the rows of the curve.

        Told to end by SIGTERM or Ctrl-C (any of several processes), it saves after the step under
        way and raises SystemExit or KeyboardInterrupt.
        """
        self.model.train()
        self.model.shapes_to_log = _SHAPES_LOGGED
        done = self._restore()
        self.accelerator.wait_for_everyone()  # a process that saves deletes what is to be restored
        self._prepare()
        if self.watches and not done:
            with self._judged():
                self.sample(0)
        self._loop(done)
        if self.average is not None:
            self.average.keep()
        self.model.eval()
        return self.curve

    def _restore(self) -> int:
        """Take up the newest checkpoint; returns the number of finished steps."""
        done, facts = self.checkpoints.restore(self._tensors(), self.optimizer)
        self.curve, self.recent_losses = facts.get("rows", []), facts.get("recent", [])
        if done:
            logger.info("resuming after step %d of %d", done, self.settings.steps)
            if self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(facts["scaler"])
        return done

    def _prepare(self) -> None:
        """Hand model and optimiser to accelerate, whose own way would shard what trains too."""
        if self.sharded:
            take_from_main(self.trainable.values())
            self.optimizer = self.accelerator.prepare_optimizer(self.optimizer)
        else:
            self.called, self.optimizer = self.accelerator.prepare(self.model, self.optimizer)

    def _save(self, done: int) -> None:
        facts: dict[str, Any] = {"rows": self.curve, "recent": self.recent_losses}
        if self.accelerator.scaler is not None:
            facts["scaler"] = self.accelerator.scaler.state_dict()
        self.checkpoints.save(done, self._tensors(), self.optimizer.optimizer, facts)

    def _tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds besides the optimiser: the weights and their average, if any."""
        average = {} if self.average is None else self.average.tensors
        return {**self.trainable, **{f"average/{name}": value for name, value in average.items()}}

    @contextmanager
    def _judged(self) -> Iterator[None]:
        """The model as it would be saved now, for validation and samples."""
        self.model.eval()
        with torch.no_grad(), nullcontext() if self.average is None else self.average.in_place():
            yield
        self.model.train()

    def _loop(self, done: int) -> None:
        settings, timer = self.settings, StepTimer(done)
        bar = tqdm(
            total=settings.steps,
            initial=done,
            desc="train",
            unit="step",
            mininterval=1,
            disable=not self.main,
        )
        with logging_redirect_tqdm(), bar, StopRequest() as request:
            for step in range(done, settings.steps):
                loss = self._step(step)
                if self.watches:
                    self._watch(step, loss, timer)
                bar.update()
                if number := self._agreed(request.number):
                    self._save_and_stop(step + 1, number)

    def _agreed(self, number: int) -> int:
        """The signal that any of the processes was sent, 0 for none: they end at the same step."""
        if self.accelerator.num_processes == 1:
            return number
        here = torch.tensor(number, device=self.accelerator.device)
        return int(self.accelerator.gather(here).max())

    def _save_and_stop(self, done: int, number: int) -> NoReturn:
        if self.main:
            self._save(done)
            logger.warning(
                "told to end: step %d of %d is saved, and the next run goes on from there",
                done,
                self.settings.steps,
            )
        self.accelerator.wait_for_everyone()  # a process that has ended has the others ended too
        stop(number)

    def _watch(self, step: int, loss: float, timer: StepTimer) -> None:
        """Whatever a finished step is followed by, besides the next."""
        settings = self.settings
        self.recent_losses.append(loss)
        if self.average is not None:
            self.average.update(step + 1)
        if self.main and self.model.adapter is not None and step + 1 == self.schedule.warmup:
            warn_if_still(self.model.adapter)
        validates = self._due(step + 1, settings.validate_every)
        if validates or self._due(step + 1, _ROW_EVERY):
            self.curve.append(self._row(step))
        if validates or self._due(step + 1, log_interval(settings.steps, _ROW_EVERY)):
            log_step(self.curve[-1], settings.steps, timer)
        if self.main and self._due(step + 1, settings.checkpoint_every):
            self._save(step + 1)
        if self._due(step + 1, settings.sample_every):
            with self._judged():
                self.sample(step + 1)

    def _step(self, step: int) -> float:
        """One optimiser step; returns its mean loss, over all processes."""
        settings, total = self.settings, 0.0
        replicas = () if self.sharded else (self.called,)  # whose gradients DDP averages
        factor = self.schedule.factor(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        for part in range(settings.accumulation):
            with self.accelerator.accumulate(*replicas):
                loss = self._loss(self._positions(step, part))
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    if self.sharded:
                        average_gradients(self.trainable.values())
                    self.accelerator.unscale_gradients()
                    clip_grad_norm_(self.trainable.values(), settings.grad_clip)
                self.optimizer.step()
                self.optimizer.zero_grad()
                total += loss.item() / settings.accumulation
        total = self._mean(total)
        if not math.isfinite(total):
            wider = " or take precision bfloat16" if settings.precision == "float16" else ""
            raise InputError(
                f"ir_adapter.lr = {settings.lr:g}, semantic_lr = {settings.semantic_lr:g}: the "
                f"loss is {total} at step {step + 1}; lower them or grad_clip{wider}"
            )
        return total

    def _mean(self, value: float) -> float:
        """The mean of `value` over all processes."""
        if self.accelerator.num_processes == 1:
            return value
        here = torch.tensor(value, dtype=torch.float64, device=self.accelerator.device)
        return float(self.accelerator.reduce(here, "mean").item())

    def _positions(self, step: int, part: int) -> range:
        """Places in the shuffled series that this process takes in this forward pass."""
        share = self.settings.batch // self.accelerator.num_processes
        start = (step * self.settings.accumulation + part) * self.settings.batch
        start += self.accelerator.process_index * share
        return range(start, start + share)

    def _loss(self, positions: range) -> Tensor:
        batch = self.train.drawn(self.seed, positions)
        shape = tuple(batch.x_0.shape[1:])
        shift = self.settings.time_shift
        draws = [noise_and_time(self.seed, position, shape, shift) for position in positions]
        x_1 = torch.stack([noise for noise, _ in draws]).to(self.model.device)
        t = torch.stack([t for _, t in draws]).to(self.model.device)
        return flow_matching_loss(
            self.called, batch, x_1, t, self.infrared, self.settings.left_panel_weight
        )

    def _row(self, step: int) -> dict[str, Any]:
        """What the curve says of this step; starts the next mean of losses."""
        row: dict[str, Any] = {
            "step": step + 1,
            "phase": self.schedule.phase(step),
            "lr_factor": self.schedule.factor(step),
            "loss": sum(self.recent_losses) / len(self.recent_losses),
            "validation_loss": None,
        }
        self.recent_losses.clear()
        if self._due(step + 1, self.settings.validate_every):
            with self._judged():
                batches = self.validation.in_order(self.settings.batch)
                row["validation_loss"] = validation_loss(self.model, batches, self.seed)
        if self.model.fusion is not None:
            row["fusion_alpha"] = self.model.fusion.alpha.item()
        if self.model.adapter is not None:
            row |= {f"scale_{i}": scale for i, scale in enumerate(self.model.adapter.scales)}
        return row

    def _due(self, done: int, every: int) -> bool:
        return done == self.settings.steps or (every > 0 and done % every == 0)


def check_batch(settings: IrAdapter, processes: int) -> None:
    """InputError where the processes cannot divide a forward pass evenly."""
    if settings.batch % processes:
        raise InputError(
            f"ir_adapter.batch = {settings.batch}: must be a multiple of the number of processes, "
            f"{processes}, which divide each forward pass evenly"
        )


def check_precision(settings: IrAdapter, device: str) -> None:
    """InputError for float16 on a CPU, where accelerate would silently leave out the scaler."""
    if settings.precision == "float16" and device == "cpu":
        raise InputError(
            "ir_adapter.precision = float16: its gradient scaler needs a GPU; on this device (cpu) "
            "it must be float32 or bfloat16"
        )
