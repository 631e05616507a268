"""Imports go one way: api → infra → domain; the domain touches nothing of the world.

The agent's own rules (the standard library alone, old Pythons) are tested beside the agent.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "domain": {"infra", "api", "tests", "scripts"},
    "infra": {"api", "tests", "scripts"},
    "api": {"tests", "scripts"},
}
DOMAIN_MAY_IMPORT = {
    "__future__", "abc", "collections", "dataclasses", "datetime", "enum", "functools", "hashlib", "itertools", "json",
    "math", "re", "types", "typing", "uuid", "domain", "eventsourcing", "transitions",
}  # fmt: skip
"""Everything else is asyncio, a clock, randomness, files, the network, logging or an adapter."""
NOT_PURE = {
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"),
    ("uuid", "uuid1"), ("uuid", "uuid4"),
}  # fmt: skip
REMOTE_CLI_MAY_NOT_IMPORT = "infra"


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every imported module, also those within functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield node.module or "", node.lineno
            if node.module in ("uuid", "datetime"):
                yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_go_one_way(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        for name, line in imports(path)
        if name.split(".")[0] in FORBIDDEN[package]
    ]
    assert wrong == []
    assert modules(package), f"there is no package {package}"


def test_the_domain_imports_nothing_of_the_world() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules("domain")
        for name, line in imports(path)
        if name.split(".")[0] not in DOMAIN_MAY_IMPORT or tuple(name.split(".")[-2:]) in NOT_PURE
    ]
    assert wrong == []


def test_the_domain_asks_no_clock_and_no_dice() -> None:
    """Calls such as ``datetime.now()`` and ``uuid.uuid4()``: times, ids and seeds are arguments."""
    wrong = []
    for path in modules("domain"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if (node.value.id, node.attr) in NOT_PURE:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} uses {node.value.id}.{node.attr}")
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("open", "print"):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} calls {node.func.id}")
    assert wrong == []


def test_only_the_composition_root_names_concrete_adapters_together() -> None:
    """Workers and control plane know ports; the adapters in ``infra/clusters`` are named by ``api/main.py`` alone."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for package in ("api", "infra")
        for path in modules(package)
        if path != ROOT / "api" / "main.py" and "clusters" not in path.relative_to(ROOT).parts
        for name, line in imports(path)
        if name.startswith("infra.clusters")
    ]
    assert wrong == []


def test_the_remote_command_line_uses_the_api_alone() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in (ROOT / "api" / "cli" / "remote").rglob("*.py")
        for name, line in imports(path)
        if name.split(".")[0] == REMOTE_CLI_MAY_NOT_IMPORT
    ]
    assert wrong == []
