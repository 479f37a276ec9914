"""Rendered scenes of the street world as arrays, drawn once and kept in a work folder.

The transformer's bank holds photos, maps and labels. Infrared is drawn by `infrared_bank` alone,
which only the VAE recipe calls: the VAE must be able to store infrared images, the transformer
must never have seen one.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from backbones.image.natural import natural_pictures
from backbones.worlds import street
from backbones.worlds.street_layout import Layout

# The sample data uses seeds from 0 and the held-out figures seeds from 2,000,000.
TRAIN_SEED, HELD_OUT_SEED = 1_000_000, 2_000_000

Bank = dict[str, NDArray[np.uint8]]  # name -> [N, H, W, 3] or [N, H, W] or [N]

_BASE: dict[str, Callable[[Layout], NDArray[np.uint8]]] = {
    "visible": street.visible,
    "relit": street.relit,
    "semantic": street.semantic,
    "labels": street.labels,
}


def base_bank(folder: Path, first_seed: int, count: int) -> Bank:
    """visible, relit, semantic, labels and night of `count` scenes; odd seeds are night."""
    return _bank(folder / f"base_{first_seed}_{count}.safetensors", _BASE, first_seed, count)


def infrared_bank(folder: Path, first_seed: int, count: int) -> Bank:
    """The infrared images [N, H, W] of the same scenes."""
    drawers = {"infrared": street.infrared}
    return _bank(folder / f"infrared_{first_seed}_{count}.safetensors", drawers, first_seed, count)


def natural_bank(folder: Path, seed: int, count: int) -> Bank:
    """Procedural pictures [N, P, P, 3] under the name natural."""
    path = folder / f"natural_{seed}_{count}.safetensors"
    if path.exists():
        return load_file(path)
    pictures = natural_pictures(seed, count, street.PANEL_PX)
    bank = {"natural": np.stack([*tqdm(pictures, f"draw {path.stem}", count, mininterval=10)])}
    _save(bank, path)
    return bank


def _save(bank: Bank, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(bank, partial)
    partial.replace(path)


def _bank(
    path: Path,
    drawers: Mapping[str, Callable[[Layout], NDArray[np.uint8]]],
    first_seed: int,
    count: int,
) -> Bank:
    if path.exists():
        return load_file(path)
    images: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in drawers}
    seeds = range(first_seed, first_seed + count)
    for seed in tqdm(seeds, desc=f"draw {path.stem}", mininterval=10):
        layout = street.street(seed, night=seed % 2 == 1)
        for name, draw in drawers.items():
            images[name].append(draw(layout))
    bank = {name: np.stack(list_) for name, list_ in images.items()}
    bank["night"] = np.array([seed % 2 for seed in seeds], np.uint8)
    _save(bank, path)
    return bank
