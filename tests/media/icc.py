"""ICC profiles made by hand, of as few tags as a colour engine wants (ICC.1:2001-04)."""

import struct
from collections.abc import Sequence

_D50 = (0.9642, 1.0, 0.8249)
# Of Display P3, adapted to D50, as columns of RGB to XYZ.
P3_COLUMNS = (
    (0.51512, 0.24120, -0.00105),
    (0.29198, 0.69225, 0.04189),
    (0.15710, 0.06657, 0.78407),
)
SRGB_COLUMNS = (
    (0.43607, 0.22249, 0.01392),
    (0.38515, 0.71687, 0.09708),
    (0.14307, 0.06061, 0.71410),
)


def matrix_profile(columns: Sequence[Sequence[float]]) -> bytes:
    """An RGB display profile with these primaries and the transfer curve of sRGB."""
    tags = {
        name: _xyz(column) for name, column in zip(("rXYZ", "gXYZ", "bXYZ"), columns, strict=True)
    }
    curve = _curve([_srgb_to_linear(level / 1023) for level in range(1024)])
    return _profile("mntr", "RGB ", "XYZ ", tags | dict.fromkeys(("rTRC", "gTRC", "bTRC"), curve))


def gray_profile(gamma: float) -> bytes:
    """A profile of one gray channel whose light goes with a power of the level."""
    curve = _curve([(level / 1023) ** gamma for level in range(1024)])
    return _profile("mntr", "GRAY", "XYZ ", {"kTRC": curve})


def ink_profile() -> bytes:
    """A CMYK profile of two levels an ink: black is L* 0, else L* falls by 25 an ink; no hue."""
    levels = []
    for corner in range(16):  # C varies slowest
        inks = [corner >> place & 1 for place in (3, 2, 1, 0)]
        lightness = 0 if inks[3] else 100 - 25 * sum(inks[:3])
        levels += [round(lightness / 100 * 255), 128, 128]
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    table += b"".join(struct.pack(">i", 65536 * (n % 4 == 0)) for n in range(9))
    return _profile("prtr", "CMYK", "Lab ", {"A2B0": table + ramp * 4 + bytes(levels) + ramp * 3})


def _srgb_to_linear(level: float) -> float:
    return level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def _curve(values: Sequence[float]) -> bytes:
    levels = struct.pack(f">{len(values)}H", *(round(value * 65535) for value in values))
    return b"curv" + bytes(4) + struct.pack(">I", len(values)) + levels


def _profile(kind: str, space: str, connection: str, tags: dict[str, bytes]) -> bytes:
    tags = {"wtpt": _xyz(_D50), **tags}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name.encode() + struct.pack(">II", start + len(body), len(content))
        body += content
    header = struct.pack(
        ">I4sI4s4s4s", 0, bytes(4), 0x02400000, kind.encode(), space.encode(), connection.encode()
    )
    header += bytes(12) + b"acsp" + bytes(28)
    header += struct.pack(">3i", *(round(value * 65536) for value in _D50))
    whole = header + bytes(128 - len(header)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]
