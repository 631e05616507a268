"""Print how large the source manifests of recovery points are in layers, and how long making and reading them takes.

Every run changes 1 % of the files, drawn by chance. ``python -m scripts.benchkit.manifest_sizes [files]``
"""

from __future__ import annotations

import hashlib
import random
import sys
import time

from infra.agent.core.manifest_layers import compressed, delta, header, read
from infra.agent.protocol import canonical

POINTS = 16


def main(files: int) -> None:
    """Seal a chain of points and print a line for the first, the second and the last."""
    draw = random.Random(1)
    versions = [0] * files
    old = [_line(number, 0) for number in range(files)]
    layers = [b"".join(compressed([header(None, files, _sha256(old)), *old]))]
    print(f"plain: {sum(map(len, old)) / files:.1f} bytes an entry; whole layer: {len(layers[0]) / files:.1f}")
    for point in range(2, POINTS + 1):
        new = [line.replace(b',"w":true', b"") for line in old]
        for number in draw.sample(range(files), files // 100):
            versions[number] += 1
            new[number] = _line(number, versions[number])
        began = time.perf_counter()
        layers.append(b"".join(compressed([header(_sha256(old), files, _sha256(new)), *delta(old, new)])))
        made = time.perf_counter()
        assert sum(1 for _ in read([[layer] for layer in layers], _sha256(new))) == files
        ended = time.perf_counter()
        if point in (2, POINTS):
            size = len(layers[-1]) / files
            print(
                f"point {point}: {size:.2f} bytes an entry; made in {made - began:.2f} s, read in {ended - made:.2f} s"
            )
        old = new


def _line(number: int, version: int) -> bytes:
    drawn = hashlib.md5(b"%d.%d" % (number, version), usedforsecurity=False).hexdigest()
    entry = {
        "I": 16_385 + number,
        "B": drawn[:16],
        "p": f"d{number // 100:05}/file-{number:07}",
        "t": "f",
        "l": number * 7_919 % 10**8,
        "m": 1_700_000_000_000 + number * 1_000 + version,
        "o": "app",
        "g": "data",
        "x": "640",
        "b": 134_217_728,
        "r": 3,
        "c": f"MD5-of-0MD5-of-512CRC32C:{drawn}",
    }
    return canonical({**entry, "w": True} if version else entry) + b"\n"


def _sha256(lines: list[bytes]) -> str:
    return hashlib.sha256(b"".join(lines)).hexdigest()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
