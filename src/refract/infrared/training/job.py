"""From triptychs to the adapter folder: cached results, one training at a time, then the loop."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock

from refract.base.atomic import replace_directory
from refract.base.errors import InputError
from refract.infrared.adapter.adapter_files import AdapterConfig, build_model, save_adapter
from refract.infrared.adapter.learnable_fusion import LearnableFusion
from refract.infrared.adapter.model import InfraredModel
from refract.infrared.adapter.triptych_latents import LatentCache, LatentRequest, read_triptych
from refract.infrared.training.checkpoint import CheckpointFolder
from refract.infrared.training.data import TrainingData, latent_requests
from refract.infrared.training.fused_data import FusedTrainingData
from refract.infrared.training.log import log_training, write_curve
from refract.infrared.training.loop import Training, check_batch, check_precision
from refract.infrared.training.samples import write_samples
from refract.infrared.training.weight_sharding import Sharding, shard_frozen, wanted_sharding
from refract.models.flux_fill import TextEmbedding, load_transformer, load_vae
from refract.models.flux_text_cache import embed_flux_prompts
from refract.models.identity import model_identity
from refract.params.ir_adapter import IrAdapter
from refract.params.models import InfraredModelParams
from refract.pipeline.device import free_memory, pick_device
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file, materialise, state_root
from refract.pipeline.processes import Processes, check_shared, joined_processes, process_count
from refract.triptychs.panels.manifest import TriptychRow, read_manifest

logger = logging.getLogger(__name__)

# They decide what is seen of a training, not what comes out of it.
_WITHOUT_EFFECT = {"checkpoint_every", "sample_every"}


def train_adapter(
    settings: IrAdapter, section: InfraredModelParams, seed: int, triptychs: Path, output: Path
) -> None:
    """Train (or take from the item store) the adapter and fill the folder `output`.

    The folder holds the LoRA, the semantic adapter, config.json and curve.csv. Two runs that want
    the same training: the second waits for the first and takes its result. To be called by every
    process of a launch; the main one writes.
    """
    check_batch(settings, process_count())
    device = pick_device()
    check_precision(settings, device)
    sharding = wanted_sharding(process_count())
    rows = {split: read_manifest(triptychs, split) for split in ("train", "val")}
    identity = model_identity(section.path, section.revision)
    store = ItemStore(state_root(), "train_ir_adapter")
    key = store.key(
        params={
            "seed": seed,
            "ir_adapter": settings.model_dump(mode="json", exclude=_WITHOUT_EFFECT),
            "infrared_model": section.training_settings(),
            "processes": process_count(),  # each number of them sums in an order of its own
            "sharded": sharding is not None,  # and so does each way to average gradients
        },
        inputs=_hash_rows([*rows["train"], *rows["val"]], triptychs),
        code=closure("refract.infrared.training.job", "refract.models.determinism"),
        model=identity,
    )
    with joined_processes(device) as processes:
        job = _Job(
            settings, section, seed, triptychs, rows, identity, key, device, processes, sharding
        )
        _train_once(job, store)
        if processes.main:
            with replace_directory(output) as folder:
                materialise(store.folder / key, folder)


def _train_once(job: "_Job", store: ItemStore) -> None:
    """Train unless the store has the result, now or when another run of the same is done."""
    main, key = job.processes.main, job.fingerprint
    checkpoints = CheckpointFolder(job.state / "checkpoints" / key)
    checkpoints.folder.mkdir(parents=True, exist_ok=True)
    check_shared(checkpoints.folder, job.processes)
    with FileLock(checkpoints.folder / "lock") if main else nullcontext():
        if job.processes.agree(store.get(key) is not None):
            logger.info("this training is in the item store already: %s", store.folder / key)
            if main:
                checkpoints.remove()  # a run killed between its result and this has left them
            return
        trained = job.train(checkpoints)
        if main:
            with store.create(key) as folder:
                trained.write(folder)
            checkpoints.remove()


class _Trained(NamedTuple):
    """What a training has come to."""

    model: InfraredModel
    config: AdapterConfig
    curve: list[dict[str, Any]]

    def write(self, folder: Path) -> None:
        save_adapter(self.model, self.config, folder)
        write_curve(self.curve, folder / "curve.csv")


@dataclass
class _Job:
    """The parts of one training, put together in the order that keeps memory low."""

    settings: IrAdapter
    section: InfraredModelParams
    seed: int
    triptychs: Path
    rows: dict[str, list[TriptychRow]]
    identity: str
    fingerprint: str
    device: str
    processes: Processes
    sharding: Sharding | None

    def __post_init__(self) -> None:
        self.state = state_root()
        first = self.rows["train"][0].path(self.triptychs)
        self.panel_px = int(read_triptych(first).visible.shape[-1])
        self.fusion = self._learnable_fusion()

    def train(self, checkpoints: CheckpointFolder) -> _Trained:
        """Run the training, from the newest of `checkpoints` if any."""
        data = self._data()
        free_memory()  # text encoders are no longer needed, and the VAE only by a learnable fusion
        config = self._config()
        torch.manual_seed(self.seed)
        base = load_transformer(self.section, self.device, on_cpu=self.sharding is not None)
        if self.settings.gradient_checkpointing:
            base.enable_gradient_checkpointing()
        model = build_model(base, config, self.fusion, device=self.device)
        if self.sharding is not None:
            shard_frozen(base, self.sharding, self.device)
        log_training(
            model, self.settings, self.section, self.identity, self.device, self.processes.count
        )
        curve = Training(
            model=model,
            settings=self.settings,
            seed=self.seed,
            train=data["train"],
            validation=data["val"],
            checkpoints=checkpoints,
            sample=lambda step: self._sample(model, data["val"], step),
        ).run()
        return _Trained(model, config, curve)

    def _data(self) -> dict[str, TrainingData]:
        samples = {
            split: latent_requests(
                rows, self.triptychs, mirrored=self.settings.mirror and split == "train"
            )
            for split, rows in self.rows.items()
        }
        both = [*samples["train"], *samples["val"]]
        cache = LatentCache(
            self.state,
            panel_px=self.panel_px,
            model_identity=self.identity,
            dtype=self.section.vae_settings(),
            fusion_alpha=None if self.fusion else _fusion_alpha(self.settings),
        )
        self._fill(cache, [request for request, _ in both])
        texts = self._texts({caption for _, caption in both})
        if self.fusion is None:
            return {
                split: TrainingData(chosen, cache, texts, self.device)
                for split, chosen in samples.items()
            }
        vae = load_vae(self.section, self.device)
        if self.settings.gradient_checkpointing:
            vae.vae.enable_gradient_checkpointing()
        return {
            split: FusedTrainingData(chosen, cache, texts, self.device, vae, self.fusion)
            for split, chosen in samples.items()
        }

    def _fill(self, cache: LatentCache, requests: list[LatentRequest]) -> None:
        """Each process encodes its share of what the main one has found missing."""
        missing = self.processes.agree(cache.missing(requests))
        share = self.processes.share(missing)
        cache.encode(share, lambda: load_vae(self.section, self.device))
        self.processes.wait()

    def _texts(self, prompts: set[str]) -> dict[str, TextEmbedding]:
        """The main process embeds what is missing, the others read it."""
        with self.processes.main_first():
            return embed_flux_prompts(
                prompts,
                self.section,
                root=self.state,
                model_identity=self.identity,
                device=self.device,
                refresh=None if self.processes.main else False,  # it has been refreshed
            )

    def _config(self) -> AdapterConfig:
        captions = {row.caption for row in self.rows["train"]}
        return adapter_config(
            self.settings,
            self.section,
            panel_px=self.panel_px,
            prompt=captions.pop() if len(captions) == 1 else None,
            identity=self.identity,
            fingerprint=self.fingerprint,
        )

    def _learnable_fusion(self) -> LearnableFusion | None:
        semantic = self.settings.semantic
        if semantic.mode != "pixel_fusion" or semantic.fusion == "fixed":
            return None
        return LearnableFusion(semantic.fusion_alpha).to(self.device)

    def _sample(self, model: InfraredModel, data: TrainingData, step: int) -> None:
        path = self.state / "ir_samples" / self.fingerprint[:16] / f"step_{step:06d}.png"
        write_samples(model, data, self.section, self.seed, path if self.processes.main else None)


def adapter_config(
    settings: IrAdapter,
    section: InfraredModelParams,
    *,
    panel_px: int,
    prompt: str | None,
    identity: str,
    fingerprint: str,
) -> AdapterConfig:
    """How an adapter of these settings is built; `prompt` where all triptychs share one."""
    position, gate, site = settings.semantic.form
    return AdapterConfig(
        mode=settings.semantic.mode,
        layout=settings.semantic.layout,
        position=position,
        gate=gate,
        site=site,
        layers=settings.layers,
        heads=settings.heads,
        fusion_alpha=_fusion_alpha(settings),
        rank=settings.rank,
        alpha=settings.alpha,
        lora_targets=settings.lora_targets,
        panel_px=panel_px,
        prompt=prompt,
        guidance=settings.guidance,
        max_sequence_length=section.max_sequence_length,
        precision=settings.precision,
        model_identity=identity,
        training=fingerprint,
        steps=settings.steps,
    )


def _fusion_alpha(settings: IrAdapter) -> float | None:
    semantic = settings.semantic
    return semantic.fusion_alpha if semantic.mode == "pixel_fusion" else None


def _hash_rows(rows: Sequence[TriptychRow], triptychs: Path) -> dict[str, str]:
    """Content of the triptychs by split and id, and their captions."""
    hashes = {f"{row.split}/{row.id}": hash_file(row.path(triptychs)) for row in rows}
    captions = {f"caption/{row.id}": row.caption for row in rows}
    for name, caption in captions.items():
        if not caption:
            raise InputError(f"{triptychs}/manifest.csv: {name.partition('/')[2]} has no caption")
    return hashes | captions
