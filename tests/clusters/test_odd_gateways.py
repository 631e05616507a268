"""Gateways that are set up in another way than most: they just work, or are told by a code of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from domain.errors import Unavailable
from domain.values.endpoints import Gateway
from infra.agent.protocol import Instruction
from infra.clusters.remote_command import own_output, remote_command
from infra.clusters.ssh_connection import SshConnection
from infra.clusters.ssh_gateway import SshGateway
from infra.ports.gateway import Seen, Submission, SubmissionRefused, Submitted
from tests.clusters.ssh_server import keys_of, ssh_server
from tests.clusters.test_ssh_gateway import archive_with_test_kinds
from tests.contracts.gateway_contract import CREDENTIALS

pytestmark = pytest.mark.long


def instruction() -> Instruction:
    """One that counts to three."""
    return Instruction(
        id="i1",
        kind="Count",
        pair="pair",
        cluster="a",
        epoch=3,
        term=5,
        run="run",
        step="step",
        attempt=0,
        not_after_ms=int(time.time() * 1000) + 600_000,
        payload={"up_to": 3, "pause_ms": 10},
    )


Scenario = Callable[[SshGateway], Awaitable[None]]
SSHD = "/usr/sbin/sshd"


def run_on(
    directory: Path, scenario: Scenario, shell: Sequence[str] = ("/bin/sh", "-c"), sftp: bool = True, **changes: object
) -> None:
    async def whole() -> None:
        async with ssh_server(directory, shell=shell, sftp=sftp) as server:
            changed = replace(server.gateway, **changes)  # type: ignore[arg-type]
            gateway = SshGateway(changed, archive_with_test_kinds(), keys_of(changed))
            try:
                await scenario(gateway)
            finally:
                await gateway.close()

    asyncio.run(whole())


async def works(gateway: SshGateway) -> None:
    """Everything that the control device asks of a gateway."""
    assert (await gateway.facts())["agent"] == archive_with_test_kinds().sha256
    assert isinstance(await gateway.submit(Submission(instruction(), CREDENTIALS)), Submitted)
    assert (await gateway.clock_offset()).uncertainty_ms < 60_000
    for _ in range(500):
        seen = (await gateway.look(["i1"]))["i1"]
        if seen.outcome is not None:
            break
        await asyncio.sleep(0.02)
    assert seen.outcome is not None
    assert seen.outcome["status"] == "succeeded"
    assert await gateway.forget([]) == {}


def shell_that(directory: Path, text: str) -> tuple[str, str]:
    """A login shell with a start-up file."""
    path = directory / "login-shell"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path), "-c"


@pytest.mark.parametrize(
    "greeting",
    [
        "echo Welcome to gateway 7",
        "printf 'no line end'",
        'echo \'{"accepted":"i1","attached":false}\'',
        "head -c 60000 /dev/zero | tr '\\0' x",
        "echo to the errors >&2",
    ],
)
def test_a_gateway_that_greets_just_works(tmp_path: Path, greeting: str) -> None:
    run_on(tmp_path, works, shell_that(tmp_path, f'{greeting}\nexec /bin/sh "$@"'), sftp=False)


@pytest.mark.skipif(shutil.which("tcsh") is None, reason="tcsh is not installed (scripts/_setup.sh installs it)")
def test_csh_as_login_shell_just_works(tmp_path: Path) -> None:
    run_on(tmp_path, works, ("tcsh", "-c"), sftp=False)


@pytest.mark.skipif(shutil.which("tcsh") is None, reason="tcsh is not installed (scripts/_setup.sh installs it)")
@pytest.mark.parametrize("shell", [("/bin/sh", "-c"), ("/bin/bash", "-c"), ("tcsh", "-fc")])
def test_a_script_means_the_same_in_every_shell(shell: tuple[str, ...]) -> None:
    script = "echo \"a!b $(echo c) 100% \\\\ \\$x 'q' ü\"\ncat; exit 7"
    command = remote_command(script)
    done = subprocess.run([*shell, command.line], input=b"in\n", capture_output=True, check=False)
    assert own_output(done.stdout, command.mark) == "a!b c 100% \\ $x 'q' ü\nin\n".encode()
    assert done.returncode == 7


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("echo This account is currently not available.; exit 1", "GATEWAY_SHELL"),
        ("exit 1", "GATEWAY_SHELL"),
        ("head -c 3000000 /dev/zero; sleep 3", "GATEWAY_GREETS"),
    ],
)
def test_a_shell_that_runs_nothing_is_told(tmp_path: Path, text: str, code: str) -> None:
    async def scenario(gateway: SshGateway) -> None:
        with pytest.raises(Unavailable) as caught:
            await gateway.facts()
        assert caught.value.code == code
        assert caught.value.remedy

    run_on(tmp_path, scenario, shell_that(tmp_path, text))


def test_output_without_end_is_not_kept(tmp_path: Path) -> None:
    async def whole() -> None:
        async with ssh_server(tmp_path) as server:
            connection = SshConnection(server.gateway, keys_of(server.gateway))
            with pytest.raises(Unavailable, match="AGENT_FAILED"):
                await connection.run("head -c 60000000 /dev/zero")
            completed = await connection.run("head -c 20000000 /dev/zero >&2; echo said")
            assert completed.stdout == b"said\n"
            assert len(completed.stderr) < 10_000
            await connection.close()

    asyncio.run(whole())


@pytest.mark.parametrize(
    "changes",
    [
        '"alive":7',
        '"milestones":[]',
        '"progress":"x"',
        '"outcome":[1]',
        '"progress_offset":-1',
        '"known":"yes"',
        '"more":1',
    ],
)
def test_a_look_of_another_shape_ends_the_instruction(tmp_path: Path, changes: str) -> None:
    """The agent on the gateway is another's: what it says is no outcome, and asking again would not mend that."""
    fields = {
        "alive": "false",
        "id": '"i1"',
        "known": "true",
        "milestones": "{}",
        "outcome": "null",
        "progress": "null",
    }
    name, _, value = changes.partition(":")
    fields = {**fields, "progress_offset": "0", name.strip('"'): value}
    seen = looked_at(tmp_path, "echo '{" + ",".join(f'"{key}":{told}' for key, told in fields.items()) + "}'")
    assert seen.outcome is not None
    assert seen.outcome["failure"]["code"] == "ANSWER_INVALID"


def test_a_look_that_is_too_long_ends_the_instruction(tmp_path: Path) -> None:
    seen = looked_at(tmp_path, "head -c 40000000 /dev/zero | tr '\\0' x; echo")
    assert seen.outcome is not None
    assert seen.outcome["failure"]["code"] == "ANSWER_INVALID"


def looked_at(directory: Path, answer: str) -> Seen:
    """What is seen of i1 where ``look`` is answered by a command."""
    named = directory / "interpreter"
    named.write_text(
        f'#!/bin/sh\ncase "$*" in\n*\\ look\\ *) while read -r _; do {answer}; done; exit ;;\nesac\nexec python3 "$@"\n'
    )
    named.chmod(0o755)
    found: list[Seen] = []

    async def scenario(gateway: SshGateway) -> None:
        found.append((await gateway.look(["i1"]))["i1"])

    run_on(directory, scenario, python=str(named))
    return found[0]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount, and run an SSH server for root")


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """A file system of its own at a place."""
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", place], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine lets nobody mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(path: Path) -> None:
    """Leave no room on the file system of a file."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 4096)


@needs_root
def test_no_room_for_the_agent_is_told(tmp_path: Path) -> None:
    async def scenario(gateway: SshGateway) -> None:
        with pytest.raises(Unavailable) as caught:
            await gateway.facts()
        assert caught.value.code == "SPOOL_FULL"
        assert "room" in caught.value.remedy
        assert not list((tmp_path / "spool" / "bin").iterdir()), "half an agent is left"

    with small_disk(tmp_path / "spool", "64k"):
        run_on(tmp_path, scenario)


@needs_root
def test_a_full_spool_is_told_and_nothing_is_kept_of_the_instruction(tmp_path: Path) -> None:
    async def scenario(gateway: SshGateway) -> None:
        await gateway.facts()
        filler = tmp_path / "spool" / "filler"
        fill(filler)
        refused = await gateway.submit(Submission(instruction(), CREDENTIALS))
        assert isinstance(refused, SubmissionRefused)
        assert refused.code == "SPOOL_FULL"
        assert not (await gateway.look(["i1"]))["i1"].known
        filler.unlink()
        await works(gateway)

    with small_disk(tmp_path / "spool", "4m"):
        run_on(tmp_path, scenario)


@pytest.fixture
def openssh(tmp_path: Path) -> Iterator[Gateway]:
    """An OpenSSH server without SFTP that grants two sessions on a connection."""
    if not Path(SSHD).exists():
        pytest.skip("no OpenSSH server is installed (scripts/_setup.sh installs it)")
    host_key, client_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    for key, name in ((host_key, "host"), (client_key, "client")):
        key.write_private_key(str(tmp_path / name))
        key.write_public_key(str(tmp_path / f"{name}.pub"))
        (tmp_path / name).chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": tmp_path / "host", "PidFile": "none", "UsePAM": "no",
        "AuthorizedKeysFile": tmp_path / "client.pub", "StrictModes": "no", "PermitRootLogin": "yes", "MaxSessions": 2,
    }  # fmt: skip
    (tmp_path / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(tmp_path / "sshd_config")], stderr=subprocess.DEVNULL)
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield Gateway(
        host="127.0.0.1",
        port=port,
        user="root",
        host_key=host_key.export_public_key().decode().strip(),
        client_key_file=str(tmp_path / "client"),
        spool=str(tmp_path / "spool"),
    )
    server.terminate()
    server.wait(timeout=10)


@needs_root
def test_few_sessions_and_no_sftp_just_work(openssh: Gateway) -> None:
    async def whole() -> None:
        gateway = SshGateway(openssh, archive_with_test_kinds(), keys_of(openssh))
        await works(gateway)
        await asyncio.gather(*(gateway.facts() for _ in range(6)))
        await gateway.close()

    asyncio.run(whole())
