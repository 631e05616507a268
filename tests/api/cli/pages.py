"""Pages of a run with fixed values, as the API answers them, for rendering and for watching."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

RUN = "1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c5d"
POINT = "9f8e7d6c-5b4a-4938-8271-605f4e3d2c1b"
MOMENT_MS = 1_777_863_600_000
FILES, TABLE = "a" * 32, "b" * 32
STEERING = "".join(
    character
    for character in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")
)
"""Everything that steers a terminal or how other characters are shown, as far as JSON can carry it."""


def planned() -> dict[str, Any]:
    """A run that waits for its moment."""
    return {
        "id": RUN,
        "state": "PLANNED",
        "version": 1,
        "service": "orders",
        "policy": "nightly",
        "policy_revision": 3,
        "pair": "sites",
        "epoch": 1,
        "primary": "north",
        "secondary": "south",
        "direction": "push",
        "settings": {"max_skew_ms": 5000, "verification": "checksum"},
        "moment_ms": MOMENT_MS,
        "snapshot": "us-20260504T030000Z-1a2b3c4d5e6f",
        "data_sets": [],
        "snapshots": {},
        "consistency": None,
        "copies": {},
        "staged": {},
        "verification": {},
        "durations": [],
        "failure": None,
        "last_failure": {},
        "base": None,
        "warnings": [],
        "mass_change": None,
        "confirmed": False,
        "recovery_point": None,
        "live": {"copies": {}, "gateways": {}, "waiting_for": ""},
    }


def staging() -> dict[str, Any]:
    """A run whose snapshots exist and whose copies are under way."""
    return {
        **planned(),
        "state": "STAGING",
        "data_sets": [
            {"id": FILES, "component": "hdfs", "name": "/data/orders"},
            {"id": TABLE, "component": "hbase", "name": "orders"},
        ],
        "snapshots": {
            FILES: {
                "asked_cluster_ms": MOMENT_MS + 1.2,
                "done_cluster_ms": MOMENT_MS + 14.0,
                "open_files": ["2026/05/now.log", "2026/05/today.log"],
                "evidence": {"grade": "EXACT", "reason": "an HDFS snapshot is one operation of the NameNode"},
            },
            TABLE: {
                "asked_cluster_ms": MOMENT_MS + 2.0,
                "done_cluster_ms": MOMENT_MS + 398.0,
                "evidence": {"grade": "BOUNDED", "reason": "regions flush one after another"},
            },
        },
        "consistency": {"skew_ms": 403.6, "uncertainty_ms": 3.4, "verdict": "CONSISTENT"},
        "copies": {FILES: "COPYING", TABLE: "COPYING"},
    }


def completed() -> dict[str, Any]:
    """A run at its good end."""
    equal = {"verdict": "EQUAL", "expected": "x", "found": "x", "proved": "stored checksums"}
    carried = {"files": 1100, "recovery_point": POINT, "computed_since_ms": MOMENT_MS - 86_400_000, "recheck_days": 7}
    alike = {"content": equal, "metadata": equal, "differences": []}
    return {
        **staging(),
        "state": "COMPLETED",
        "base": {"recovery_point": POINT, "snapshot": "us-20260503T030000Z-0", "moment_ms": MOMENT_MS - 86_400_000},
        "copies": {FILES: "STAGED", TABLE: "STAGED"},
        "staged": {
            FILES: {
                "bytes": 3 * 1024**3, "bytes_moved": 200 * 1024**2, "files": 1200, "files_moved": 31, "deleted": 4,
                "renamed": 2, "changed_attributes": 1, "full": False,
            },
            TABLE: {
                "bytes": 1024**3, "bytes_moved": 1024**3, "files": 12, "files_moved": 12, "deleted": 0,
                "renamed": 0, "changed_attributes": 0, "full": True,
            },
        },
        "verification": {
            "data_sets": {
                FILES: {**alike, "files_computed": 100, "carried": carried, "files_read": 0, "bytes_read": 0},
                TABLE: {**alike, "files_computed": 12, "carried": None, "files_read": 3, "bytes_read": 4096},
            },
            "trial_clone": {"table": "orders", "rows_seen": 1500, "seconds": 2.25},
        },
        "durations": [
            {"state": "PLANNED", "seconds": 0.02},
            {"state": "CHECKING", "seconds": 1.5},
            {"state": "ARMED", "seconds": 18.0},
            {"state": "STAGING", "seconds": 61.0},
            {"state": "VERIFYING", "seconds": 4.0},
        ],
        "warnings": [
            {"code": "NOT_REBOOT_SAFE", "subject": "north", "message": "no agent is adopted after a reboot.",
             "remedy": "Install the crontab line."},
        ],
        "recovery_point": POINT,
    }  # fmt: skip


def failed() -> dict[str, Any]:
    """A run that found a damaged copy."""
    page = completed()
    different = {"verdict": "DIFFERENT", "expected": "x", "found": "y", "proved": "bytes"}
    page["verification"]["data_sets"][FILES]["content"] = different
    page["verification"]["data_sets"][FILES]["differences"] = ["2026/05/a\x1b[2Jb.csv"]
    return {
        **page,
        "state": "FAILED",
        "recovery_point": None,
        "failure": {
            "code": "VERIFICATION_FAILED",
            "message": "the secondary's copy differs.",
            "remedy": "The next run heals it.",
            "data_set": FILES,
        },
    }


def held() -> dict[str, Any]:
    """A run that a person has to confirm."""
    return {
        **staging(),
        "state": "HELD",
        "mass_change": {
            "data_set": "hdfs:/data/orders",
            "changed": 900,
            "entries": 1200,
            "unit": "entries",
            "percent": 75,
            "limit_percent": 50,
        },
    }
