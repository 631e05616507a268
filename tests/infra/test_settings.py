"""The settings file: what it may say, and how precisely it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings import Listen, SettingsError, WorkerSettings, load_settings

HASH = "ab" * 32
WHOLE = f"""
[store]
path = "events.db"
[listen]
port = 0
[tokens]
ann = "{HASH.upper()}"
"""


def load(directory: Path, text: str) -> object:
    path = directory / "understudy.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path)


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    settings = load(tmp_path, WHOLE)
    assert settings.store_path == tmp_path / "events.db"  # type: ignore[attr-defined]
    assert settings.listen == Listen(port=0)  # type: ignore[attr-defined]
    assert settings.tokens == {"ann": HASH}  # type: ignore[attr-defined]
    assert settings.workers == WorkerSettings()  # type: ignore[attr-defined]


def test_a_socket_and_workers_may_be_given(tmp_path: Path) -> None:
    text = WHOLE.replace("port = 0", 'socket = "/run/api.sock"\nhosts = ["proxy"]') + "[workers]\npoll_seconds = 1\n"
    settings = load(tmp_path, text)
    assert settings.listen == Listen(socket=Path("/run/api.sock"), hosts=("proxy",))  # type: ignore[attr-defined]
    assert settings.workers.poll_seconds == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("old", "new", "place", "what"),
    [
        ("[store]", "[stores]", "[stores]", "no such table"),
        ('path = "events.db"', "", "[store] path", "missing"),
        ('path = "events.db"', "path = 7", "[store] path", "no path"),
        ('path = "events.db"', 'pth = "x"', "[store] pth", "no such key"),
        ('[store]\npath = "events.db"', "", "[store]", "missing"),
        ('[store]\npath = "events.db"', "store = 1", "[store]", "not a table"),
        ("port = 0", "port = 70000", "[listen] port", "no port"),
        ("port = 0", "port = true", "[listen] port", "no port"),
        ("port = 0", 'host = "0.0.0.0"', "[listen] host", "no loopback"),
        ("port = 0", 'port = 1\nsocket = "a"', "[listen] socket", "port is given"),
        ("port = 0", "hosts = 'a'", "[listen] hosts", "not a list"),
        ("ann", "'a b'", "[tokens] a b", "cannot be"),
        (HASH.upper(), "secret", "[tokens] ann", "not a SHA-256"),
        (f'ann = "{HASH.upper()}"', "", "[tokens]", "there is none"),
        ("[tokens]", "[workers]\npoll_second = 1\n[tokens]", "[workers] poll_second", "no such key"),
        ("[tokens]", "[workers]\npoll_seconds = -1\n[tokens]", "[workers] poll_seconds", "cannot be used"),
        ("[tokens]", "[workers]\ncopies_per_run = 1.5\n[tokens]", "[workers] copies_per_run", "cannot be used"),
        ("[tokens]", "[workers]\npoll_seconds = 9\n[tokens]", "[workers] longest_poll_seconds", "less than"),
        ("[listen]", "[listen", "", "not TOML"),
    ],
)
def test_a_fault_is_named_by_file_table_key_and_remedy(
    tmp_path: Path, old: str, new: str, place: str, what: str
) -> None:
    assert old in WHOLE
    with pytest.raises(SettingsError) as refusal:
        load(tmp_path, WHOLE.replace(old, new))
    error = refusal.value
    assert error.code == "SETTINGS_INVALID"
    assert str(tmp_path / "understudy.toml") in error.field
    assert error.field.endswith(place)
    assert what in error.message
    assert error.remedy


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "none.toml")
