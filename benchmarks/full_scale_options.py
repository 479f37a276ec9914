"""Options of one row of the table: `dtype=float32,vae_tiling=true` beside the run without any."""

from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from benchmarks.full_scale_models import FILL_NAME
from refract.base.errors import InputError
from refract.models.memory_options import MemoryOptions
from refract.params.models import InfraredModel, Model, VideoModel
from refract.params.section import SectionType, validate

CHECKPOINTING = "gradient_checkpointing"  # of section ir_adapter, for the training alone
_FIXED = {"path", "revision", "max_sequence_length"}
# Names in the sections of the two models; an option that is added there is one here.
NAMES = sorted((VideoModel.model_fields.keys() | InfraredModel.model_fields.keys()) - _FIXED)


@dataclass(frozen=True)
class OptionSet:
    """text: as the user wrote it, `none` without any. values: of the models' sections."""

    text: str = "none"
    values: dict[str, Any] = field(default_factory=dict)
    checkpointing: bool = True

    def known_to(self, kind: type[Model]) -> bool:
        """Whether the options are all of this half; some belong to the other alone."""
        trains = issubclass(kind, InfraredModel)
        return self.values.keys() <= kind.model_fields.keys() and (self.checkpointing or trains)

    @property
    def of_training_alone(self) -> bool:
        return not self.checkpointing and not self.values

    def video(self, name: str, dtype: str, words: int) -> VideoModel:
        """Section `video_model`; InputError for a value it does not take."""
        return self._section(VideoModel, name, dtype, words)

    def infrared(self, dtype: str, words: int) -> InfraredModel:
        """Section `infrared_model`; InputError for a value it does not take."""
        return self._section(InfraredModel, FILL_NAME, dtype, words)

    def _section(self, kind: type[SectionType], name: str, dtype: str, words: int) -> SectionType:
        fixed = {"path": name, "revision": None, "dtype": dtype, "max_sequence_length": words}
        return validate(kind, {**fixed, **self.values}, f"--options {self.text}")


def waits_on_cpu(options: MemoryOptions) -> bool:
    """Whether the pipeline loads a transformer into main memory, to move it piece by piece."""
    return options.loads_on_cpu or options.quantization is not None


def options_in_use(section: Model) -> set[str]:
    """Names of the section's options that are not off."""
    off = {
        name: info.default
        for name, info in type(section).model_fields.items()
        if not info.is_required()
    }
    return {name for name, value in off.items() if getattr(section, name) != value}


def parse_options(text: str) -> OptionSet:
    """`name=value,...` with values as in params.yaml; InputError for an unknown name."""
    values = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if name not in (*NAMES, CHECKPOINTING) or not equals:
            allowed = ", ".join((*NAMES, CHECKPOINTING))
            raise InputError(f"--options {part!r}: must be NAME=VALUE, NAME one of {allowed}")
        values[name] = _value(part, value)
    checkpointing = values.pop(CHECKPOINTING, True)
    if not isinstance(checkpointing, bool):
        raise InputError(f"--options {CHECKPOINTING}={checkpointing}: must be true or false")
    return OptionSet(text, values, checkpointing)


def _value(part: str, text: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise InputError(f"--options {part!r}: the value is not valid YAML") from error
