"""Keys for gateways: files in one directory, whatever is named; every way of not being one looks the same."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import asyncssh
import pytest

from api.main import ssh_gateways
from domain.errors import InvalidInput, Unavailable
from domain.values.endpoints import Endpoints
from infra.clusters.keys import LONGEST_KEY, KeyDirectory
from tests.clusters.ssh_server import keys_of, ssh_server


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "keys"
    (made / "north").mkdir(parents=True, mode=0o700)
    for name in ("good", "north/inner"):
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(made / name))
        (made / name).chmod(0o600)
    return made


def read(directory: Path, name: str) -> asyncssh.SSHKey:
    return asyncio.run(KeyDirectory(directory).key(name))


def refusal(directory: Path, name: str) -> Unavailable:
    began = time.monotonic()
    with pytest.raises(Unavailable) as refused:
        read(directory, name)
    assert time.monotonic() - began < 5
    assert refused.value.code == "GATEWAY_DENIED"
    assert str(directory) in refused.value.remedy
    return refused.value


@pytest.mark.parametrize("name", ["good", "north/inner", "{}/good", "{}/north/inner"])
def test_a_name_or_a_path_inside_leads_to_a_key(directory: Path, name: str) -> None:
    KeyDirectory(directory).check(name.format(directory))
    assert read(directory, name.format(directory)).get_algorithm() == "ssh-ed25519"


def test_a_path_through_a_link_to_the_directory_is_inside(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(directory)
    assert read(tmp_path / "linked", f"{directory}/good")
    assert read(tmp_path / "linked", f"{tmp_path}/linked/good")


@pytest.mark.parametrize(
    "name",
    [
        *("/dev/zero", "/etc/shadow", "../good", "north/../good", "./good", "", "/", ".", "{}", "{}/../x", "{}x/good"),
        *("a//b", "good\n", "good\0", "-good", ".good", "x" * 200),
    ],
)
def test_what_lies_elsewhere_is_refused_when_it_is_entered_and_never_opened(directory: Path, name: str) -> None:
    name = name.format(directory)
    with pytest.raises(InvalidInput, match="KEY_ELSEWHERE") as refused:
        KeyDirectory(directory).check(name)
    assert refused.value.field == "endpoints.gateway.client_key_file"
    assert "is not in" in refusal(directory, name).message


def _shared(path: Path) -> None:
    path.write_bytes((path.parent / "good").read_bytes())
    path.chmod(0o640)


def _encrypted(path: Path) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(
        str(path), format_name="pkcs8-pem", passphrase="secret"
    )
    path.chmod(0o600)


def _text(path: Path) -> None:
    path.write_text("no key")
    path.chmod(0o600)


def _long(path: Path) -> None:
    path.touch(0o600)
    os.truncate(path, LONGEST_KEY + 1)


BAD: list[Callable[[Path], None]] = [
    lambda path: None,
    lambda path: path.symlink_to(path.parent / "good"),
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: os.mkfifo(path, 0o600),
    lambda path: path.mkdir(),
    _shared,
    _encrypted,
    _text,
    _long,
]


@pytest.mark.parametrize("make", BAD)
def test_whatever_is_wrong_with_a_key_it_is_told_in_the_log_alone(
    directory: Path, make: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    make(directory / "key")
    told = refusal(directory, "key")
    assert told.message == "the key 'key' cannot be used."
    (record,) = [record for record in caplog.records if record.name == "understudy.keys"]
    assert vars(record)["why"]


def test_a_link_to_a_directory_is_not_followed(directory: Path) -> None:
    (directory / "linked").symlink_to(directory / "north")
    assert refusal(directory, "linked/inner").message == "the key 'linked/inner' cannot be used."


def test_others_keys_are_not_used(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    if os.getuid() != 0:
        refusal(directory, "good")
    else:
        os.chown(directory / "good", 54_321, -1)
        refusal(directory, "good")


def test_the_control_device_logs_in_with_keys_of_its_directory_alone(directory: Path, tmp_path: Path) -> None:
    """The key that the gateway would accept lies beside the directory, and is never shown to it."""

    async def log_in() -> None:
        async with ssh_server(tmp_path) as server:
            endpoints = Endpoints(server.gateway, ("http://nn:9870",))
            refused, fine = (
                ssh_gateways(keys)("north", endpoints) for keys in (KeyDirectory(directory), keys_of(server.gateway))
            )
            with pytest.raises(Unavailable, match="GATEWAY_DENIED") as told:
                await refused.clock_offset()
            assert (server.gateway.client_key_file in told.value.message, server.connections) == (True, [])
            await fine.clock_offset()
            assert len(server.connections) == 1
            for gateway in (refused, fine):
                await gateway.close()

    asyncio.run(log_in())
