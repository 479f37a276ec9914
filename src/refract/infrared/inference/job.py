"""Infrared pictures of the test split, of control maps, and of a user's own folder."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image

from refract.base.atomic import replace_directory
from refract.base.errors import InputError
from refract.base.files import INFO_NAME, read_json_object, write_info
from refract.infrared.adapter.adapter_files import CONFIG_NAME, AdapterConfig, read_config
from refract.infrared.inference.attention_job import AttentionJob, check_attention
from refract.infrared.inference.generator import InfraredGenerator, PictureSettings
from refract.infrared.inference.scenes import (
    OWN_MAP,
    SceneSource,
    held_out_scenes,
    map_fingerprint,
    read_scene,
    user_scenes,
)
from refract.infrared.inference.user_maps import with_model_maps
from refract.media.gray_levels import scaling
from refract.models.flux_fill import TextEmbedding
from refract.models.flux_text_cache import embed_flux_prompts
from refract.models.identity import model_identity
from refract.params.infer_ir import InferIr
from refract.params.models import InfraredModelParams
from refract.pipeline.device import device_kind, pick_device
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file, materialise, state_root
from refract.pipeline.processes import Processes, joined_processes
from refract.pipeline.shared_items import compute_items, in_batches, own_share, progress_bar

logger = logging.getLogger(__name__)

ATTENTION_NAME = "attention_maps"


class _Plan(NamedTuple):
    """Every picture with the key of its item, and what of it the store lacks."""

    scenes: list[SceneSource]
    keys: list[str]
    missing: dict[str, SceneSource]


@dataclass
class InferenceJob:
    """Everything that decides the pictures; `run` makes them."""

    settings: InferIr
    section: InfraredModelParams
    seed: int
    adapter: Path

    def run(self, triptychs: Path, output: Path) -> None:
        """Fill `output` with <variant>/<id>.png and info.json.

        Variants: adapter (the own map), shuffled_map (another scene's), zero_map (a black one),
        and `input` for the pictures of infer_ir.input. Where infer_ir.attention_maps asks for
        them, attention_maps/<id>/ holds overlays of the first test scenes. Only what the item
        store lacks is computed; the model loads only where something is. To be called by every
        process of a launch; they divide the batches, and the main one fills the folder.
        """
        store = ItemStore(state_root(), "infer_ir")
        with joined_processes() as processes:
            scenes, keys, missing = processes.decide(lambda: self._plan(triptychs, store))
            self._compute(missing, store, processes)
            attention = self._attention(keys, scenes, processes)
            computed = processes.total(store.computed)
            if not processes.main:
                return
            with replace_directory(output) as folder:
                for key, scene in zip(keys, scenes, strict=True):
                    materialise(store.folder / key, folder / scene.variant)
                for name, slot in attention.items():
                    materialise(slot, folder / ATTENTION_NAME / name)
                write_info(self._info(triptychs, scenes), folder)
            logger.info("infrared: %d pictures, %d computed", len(scenes), computed)

    def _plan(self, triptychs: Path, store: ItemStore) -> _Plan:
        """What the output consists of; InputError for inputs that do not fit together."""
        self._check_training()
        check_attention(self.settings.attention_maps, self.config, self.adapter)
        semantic_used = self.config.mode != "none"
        scenes = held_out_scenes(triptychs, self.seed, self.settings.prompt)
        if self.settings.input is not None:
            scenes += self._user_scenes(Path(self.settings.input), triptychs, semantic_used)
        code = closure("refract.infrared.inference.job", "refract.models.determinism")
        keys = [self._key(scene, store, code, semantic_used) for scene in scenes]
        missing = {
            key: scene for key, scene in zip(keys, scenes, strict=True) if store.get(key) is None
        }
        return _Plan(scenes, keys, missing)

    @cached_property
    def config(self) -> AdapterConfig:
        return read_config(self.adapter)

    @cached_property
    def identity(self) -> str:
        return model_identity(self.section.path, self.section.revision)

    @cached_property
    def adapter_hashes(self) -> dict[str, str]:
        files = [
            path
            for path in sorted(self.adapter.iterdir())
            if path.suffix == ".safetensors" or path.name == CONFIG_NAME
        ]
        return {path.name: hash_file(path) for path in files}

    @property
    def guidance(self) -> float:
        """The setting, else what the adapter was trained with."""
        given = self.settings.guidance
        return self.config.guidance if given is None else given

    def _check_training(self) -> None:
        """InputError where inference would differ from the training without being told to."""
        if not self.settings.match_training:
            return
        pairs = [
            ("infer_ir.guidance", self.settings.guidance, self.config.guidance),
            ("infer_ir.prompt", self.settings.prompt, self.config.prompt),
            ("infrared_model", self.identity, self.config.model_identity),
            (
                "infrared_model.max_sequence_length",
                self.section.max_sequence_length,
                self.config.max_sequence_length,
            ),
        ]
        for name, asked, trained in pairs:
            if asked is not None and asked != trained:
                raise InputError(
                    f"{name} = {asked}: the adapter in {self.adapter} was trained with {trained}; "
                    "set infer_ir.match_training: false to go on"
                )

    def _user_scenes(self, folder: Path, triptychs: Path, semantic_used: bool) -> list[SceneSource]:
        scenes = user_scenes(folder, self.settings.prompt or self.config.prompt)
        if not semantic_used:
            return scenes
        match_training = self.settings.match_training
        return with_model_maps(scenes, triptychs / INFO_NAME, match_training=match_training)

    def _key(
        self, scene: SceneSource, store: ItemStore, code: Sequence[Path], semantic_used: bool
    ) -> str:
        """Equal for variants that come to the same, say where a data set has no maps."""
        inputs = {"visible": hash_file(scene.visible), "prompt": scene.prompt}
        if semantic_used:
            inputs["semantic"] = map_fingerprint(read_scene(scene, self.config.panel_px))
        inputs |= self.adapter_hashes
        return store.key(
            params={
                "id": scene.id,
                "seed": self.seed,
                "steps": self.settings.steps,
                "batch": self.settings.batch,
                "guidance": self.guidance,
                "samples": self.settings.samples,
                "bits": self.settings.bits,
                "infrared_model": self.section.result_settings(),
            },
            inputs=inputs,
            code=code,
            model=self.identity,
        )

    def _compute(
        self, missing: dict[str, SceneSource], store: ItemStore, processes: Processes
    ) -> None:
        """Each process computes whole batches, the same as one process would form."""
        if not missing:
            return
        logger.info(
            "inferring %d pictures on %s, %s, %d Euler steps, samples %d, model %s (%s)",
            len(missing),
            device_kind(),
            self.section.dtype,
            self.settings.steps,
            self.settings.samples,
            self.section.path,
            self.identity,
        )
        texts = self._texts(missing.values(), processes)
        batches = own_share(processes, in_batches(missing, self.settings.batch), list)

        def compute(batch: dict[str, SceneSource], done: Callable[[int], Any]) -> None:
            scenes = [read_scene(scene, self.config.panel_px) for scene in batch.values()]
            pictures = self.generator.generate(scenes, texts, done)
            for key, (name, pixels) in zip(batch, pictures, strict=True):
                with store.create(key) as slot:
                    Image.fromarray(pixels).save(slot / f"{name}.png")

        total = sum(len(batch) for batch in batches)
        with progress_bar(processes, total, "infrared", "picture") as bar:
            compute_items(batches, compute, store, bar, lambda: self.generator)

    def _attention(
        self, keys: Sequence[str], scenes: Sequence[SceneSource], processes: Processes
    ) -> dict[str, Path]:
        """Folder of overlays by scene id; empty where none are asked for."""
        wanted = self.settings.attention_maps
        if not wanted.regions:
            return {}
        pairs = zip(keys, scenes, strict=True)
        with_own_map = [(key, scene) for key, scene in pairs if scene.variant == OWN_MAP]
        job = AttentionJob(wanted, self.config, processes, self.settings.batch)
        return job.run(
            dict(with_own_map[: wanted.scenes]),
            lambda missing: self._texts(missing, processes),
            lambda: self.generator,
        )

    @cached_property
    def generator(self) -> InfraredGenerator:
        """Loaded when first needed, once for the pictures and the attention maps."""
        settings = PictureSettings(
            steps=self.settings.steps,
            seed=self.seed,
            batch=self.settings.batch,
            guidance=self.guidance,
            samples=self.settings.samples,
            bits=self.settings.bits,
        )
        return InfraredGenerator(self.adapter, self.section, settings, pick_device())

    def _texts(
        self, scenes: Collection[SceneSource], processes: Processes
    ) -> dict[str, TextEmbedding]:
        """The embeddings of the scenes' prompts: the main process makes them, the others read."""
        with processes.main_first():
            return embed_flux_prompts(
                {scene.prompt for scene in scenes},
                self.section,
                root=state_root(),
                model_identity=self.identity,
                device=pick_device(),
                refresh=None if processes.main else False,  # it has been refreshed
            )

    def _info(self, triptychs: Path, scenes: Sequence[SceneSource]) -> dict[str, Any]:
        path = triptychs / INFO_NAME
        prepared = read_json_object(path) if path.exists() else {}
        variants = sorted({scene.variant for scene in scenes})
        return {
            "steps": self.settings.steps,
            "guidance": self.guidance,
            "samples": self.settings.samples,
            "bits": self.settings.bits,
            "gray_scaling": scaling(self.settings.bits),
            "attention_maps": self.settings.attention_maps.model_dump(mode="json"),
            "device": device_kind(),
            "dtype": self.section.dtype,
            "torch": torch.__version__,
            "model": self.identity,
            "mode": self.config.mode,
            "prompt": self.settings.prompt or self.config.prompt,
            "semantic_source": prepared.get("semantic_source", "unknown"),
            "counts": {v: sum(scene.variant == v for scene in scenes) for v in variants},
        }
