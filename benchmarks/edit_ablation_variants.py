"""The ablations of the reference editing: groups of variants, and their settings."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from typing import Any

from refract.params.edit_stage import EditParams
from refract.params.ref_bank import BankParams
from refract.params.section import SectionType, validate

# Dotted keys of params.yaml, as `dvc exp run -S KEY=VALUE` takes them; none is the default.
Changes = Mapping[str, object]

DEFAULT = "default"
OWN_PLAIN = frozenset({"guidance", "sampler", "region"})  # groups that change the plain edit too


def _mode(mode: str, strength: float) -> Changes:
    return {"ref_mode": mode, "ref_strength": strength}


def _guided(ref_guidance: float) -> Changes:
    return {"ref_branches": "guided", "flowalign.ref_guidance": ref_guidance}


def _sampler(sampler: str, strength: float, guidance: float, **others: float) -> Changes:
    settings = {"sampler": sampler, "strength": strength, "guidance": guidance, **others}
    return {f"flowalign.{key}": value for key, value in settings.items()}


def _region(inside: float, outside: float | None, threshold: float = 0.4) -> Changes:
    return {
        "flowalign.zeta": inside,
        "flowalign.region.zeta_outside": outside,
        "flowalign.region.threshold": threshold,
    }


# group -> label -> changes. Layers are those of the micro model, which has eight.
GROUPS: Mapping[str, Mapping[str, Changes]] = {
    "strength": {
        "0": {"ref_strength": 0.0},
        "0.3": {"ref_strength": 0.3},
        "0.5": {"ref_strength": 0.5},
        "0.7": {"ref_strength": 0.7},
        "1": {},
        "1.5": {"ref_strength": 1.5},
    },
    "mode": {
        "joint 1": {},
        "concat_scaled 0.5": _mode("concat_scaled", 0.5),
        "concat_scaled 1": _mode("concat_scaled", 1.0),
        "refdrop 0.1": _mode("refdrop", 0.1),
        "refdrop 0.2": _mode("refdrop", 0.2),
        "adain 0.5": _mode("adain", 0.5),
        "attn+adain 1": _mode("attn+adain", 1.0),
    },
    "branches": {
        "target": {},
        "edited": {"ref_branches": "edited"},
        "all": {"ref_branches": "all"},
        "guided 1": _guided(1.0),
        "guided 3": _guided(3.0),
        "guided 4": _guided(4.0),
    },
    "position": {
        "before": {},
        "frame0": {"flowalign.ref_rope": "frame0"},
        "after": {"flowalign.ref_rope": "after"},
        "none": {"flowalign.ref_rope": "none"},
    },
    "layers": {
        "all": {"ref_layers": "all"},
        "middle": {"ref_layers": "middle"},
        "deep": {"ref_layers": "deep"},
        "2-8": {"ref_layers": "2-8"},
        "4-8": {},
        "5-8": {"ref_layers": "5-8"},
        "6-8": {"ref_layers": "6-8"},
    },
    "timesteps": {
        "0": {"ref_timesteps": [0.0]},
        "0.3": {},
        "0.5": {"ref_timesteps": [0.5]},
        "0.7": {"ref_timesteps": [0.7]},
        "1": {"ref_timesteps": [1.0]},
        "all five": {"ref_timesteps": [0.0, 0.3, 0.5, 0.7, 1.0]},
    },
    "bank": {
        "auto, 1": {},
        "all, 1": {"ref_bank.foreground": "all"},
        "auto, 2": {"ref_bank.pool": 2},
    },
    "frames": {
        "constant": {},
        "0.5, 1, 0.5": {"flowalign.ref_frame_schedule": [0.5, 1.0, 0.5]},
    },
    "steps": {
        "0 to 1": {},
        "0 to 0.5": {"flowalign.ref_steps": [0.0, 0.5]},
        "0.5 to 1": {"flowalign.ref_steps": [0.5, 1.0]},
    },
    "guidance": {
        "2": {"flowalign.guidance": 2.0},
        "2.5": {},
        "3": {"flowalign.guidance": 3.0},
    },
    # strength of the schedule, guidance of the source branch where there is one, guidance
    "sampler": {
        "flowalign": {},
        **{
            f"flowedit {strength:g}, {source:g}, {w:g}": _sampler(
                "flowedit", strength, w, source_guidance=source
            )
            for strength, source, w in (
                (0.7, 1.5, 4.0),
                (0.9, 1.5, 2.0),
                (0.9, 1.5, 3.0),
                (0.9, 2.0, 3.0),
            )
        },
        **{
            f"sdedit {strength:g}, {w:g}": _sampler("sdedit", strength, w)
            for strength, w in product((0.7,), (2.0, 4.0))
        },
    },
    # zeta inside, zeta outside, threshold; "none" with one zeta everywhere
    "region": {
        "none, 0": _region(0.0, None),
        "none, 0.02, guidance 2": {**_region(0.02, None), "flowalign.guidance": 2.0},
        "0, 0.1, 0.4": _region(0.0, 0.1),
        "0, 0.2, 0.4": {},
        "0, 0.2, 0.3": _region(0.0, 0.2, 0.3),
        "0.02, 0.2, 0.4": _region(0.02, 0.2),
    },
}


def variant_name(group: str, label: str) -> str:
    """The default goes by one name in whatever group it stands."""
    return f"{group} {label}" if GROUPS[group][label] else DEFAULT


VARIANTS: Mapping[str, Changes] = {DEFAULT: {}} | {
    variant_name(group, label): changes
    for group, variants in GROUPS.items()
    for label, changes in variants.items()
}


@dataclass(frozen=True)
class Settings:
    """A variant as the two stages read it."""

    edit: EditParams
    bank: BankParams


def make_settings(document: Mapping[str, Any], changes: Changes, seed: int) -> Settings:
    """What the stages read of params.yaml with `changes`, and without the curve of strengths.

    Raises:
        KeyError: a changed key that the document lacks.
        InputError: a value that the stages refuse.
    """
    changed = deepcopy(dict(document))
    for key, value in {"seed": seed, "flowalign.strength_curve": [], **changes}.items():
        section: dict[str, Any] = changed
        *parents, last = key.split(".")
        for parent in parents:
            section = section[parent]
        if last not in section:
            raise KeyError(f"{key} is no setting of params.yaml")
        section[last] = value
    return Settings(_section(EditParams, changed), _section(BankParams, changed))


def _section(kind: type[SectionType], document: Mapping[str, Any]) -> SectionType:
    own = {key: value for key, value in document.items() if key in kind.model_fields}
    return validate(kind, own, "variant")
