"""High dynamic range and wide gamut to the SDR pixels that pictures have, by filters of ffmpeg.

SDR white is at 75 % of HLG and at 203 cd/m^2 of PQ (ITU-R BT.2408). HLG is mapped by its light of
the scene, as BT.2408 has it for cameras that are to match, PQ by its light of the display. SDR
pixels are taken as sRGB, as any picture's; what is brighter than they can be is rolled off.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.media.ffmpeg import SCALER_FLAGS, has_filter

Floats = NDArray[np.floating[Any]]

BT2020, _DISPLAY_P3 = 9, 12  # code points of ITU-T H.273
_PQ, _HLG = 16, 18
HDR = (_PQ, _HLG)
_SDR_WHITE = 203.0  # cd/m^2
_KNEE = 0.95  # of SDR's white; darker light stays as it is
_CURVE = "hlg.cube"
_CURVE_POINTS = 4096


def is_wide(primaries: int, transfer: int) -> bool:
    """Whether these colours have more than BT.709's gamut or than SDR's range."""
    return transfer in HDR or primaries in (BT2020, _DISPLAY_P3)


def sdr_filters(primaries: int, transfer: int, matrix: str) -> list[str]:
    """ffmpeg's filters from YUV of wide colours to R'G'B' of SDR.

    They need the file that `write_curve` writes. HDR without known primaries is BT.2020. Raises
    InputError where ffmpeg was built without what it takes.
    """
    if missing := [name for name in ("zscale", "tonemap", "lut1d") if not has_filter(name)]:
        raise InputError(f"HDR and wide gamut need ffmpeg with {', '.join(missing)}; it has none")
    gamut = "smpte432" if primaries == _DISPLAY_P3 else "bt2020"
    curve = "smpte2084" if transfer in HDR else "iec61966-2-1"
    filters = [f"scale=in_color_matrix={matrix}:flags={SCALER_FLAGS}", "format=gbrp16"]
    if transfer == _HLG:
        filters.append(f"lut1d={_CURVE}")
    filters += [
        # a value of 1 is SDR's white from here on
        f"zscale=tin={curve}:t=linear:pin={gamut}:p={gamut}:npl={_SDR_WHITE}:agamma=0",
        "format=gbrpf32", f"zscale=tin=linear:t=linear:pin={gamut}:p=bt709",
    ]  # fmt: skip
    if transfer in HDR:
        brightest = (1 / _hlg_light(np.array(0.75))) if transfer == _HLG else 10_000 / _SDR_WHITE
        filters.append(f"tonemap=mobius:param={_KNEE}:desat=0:peak={brightest:.3f}")
    filters.append("zscale=tin=linear:t=iec61966-2-1:pin=bt709:p=bt709:agamma=0")
    return [*filters, "format=gbrp16", "setparams=color_primaries=bt709:color_trc=bt709"]


def write_curve(folder: Path) -> None:
    """Write the curve from HLG's signal to the PQ signal of the same light to `folder`."""
    signal = np.linspace(0, 1, _CURVE_POINTS)
    light = _hlg_light(signal) / _hlg_light(np.array(0.75)) * _SDR_WHITE
    rows = "\n".join(f"{value:.7f} {value:.7f} {value:.7f}" for value in _pq_signal(light))
    (folder / _CURVE).write_text(f"LUT_1D_SIZE {_CURVE_POINTS}\n{rows}\n")


def _hlg_light(signal: Floats) -> Floats:
    """Inverse OETF of HLG (ITU-R BT.2100, table 5): light of the scene in [0, 1]."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def _pq_signal(light: Floats) -> Floats:
    """Inverse EOTF of PQ (ITU-R BT.2100, table 4) of light in cd/m^2."""
    power = (light / 10_000) ** (2610 / 16384)
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    return ((c1 + c2 * power) / (1 + c3 * power)) ** (2523 / 4096 * 128)
