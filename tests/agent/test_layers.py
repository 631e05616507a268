"""The agent imports the standard library and itself; its core touches nothing of the world."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
AGENT = ROOT / "infra" / "agent"
WIRE = ("names", "payloads", "protocol", "quick_json", "shapes")
CORE_MAY_IMPORT = {
    "__future__",
    "array",
    "binascii",
    "bisect",
    "operator",
    "collections",
    "dataclasses",
    "enum",
    "fnmatch",
    "functools",
    "hashlib",
    "heapq",
    "infra",
    "itertools",
    "json",
    "math",
    "re",
    "shlex",
    "struct",
    "typing",
    "urllib.parse",
    "uuid",
    "zlib",
}


def imports(directory: Path) -> Iterator[tuple[str, str]]:
    """Every import below a directory: where, and what; those within functions too."""
    for path in sorted(directory.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                yield from ((where, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, where
                yield where, node.module or ""


def test_the_agent_imports_the_standard_library_and_itself() -> None:
    wrong = [
        f"{where} imports {name}"
        for where, name in imports(AGENT)
        if name.split(".")[0] not in sys.stdlib_module_names and not f"{name}.".startswith("infra.agent.")
    ]
    assert wrong == []


def wire_format() -> list[tuple[str, str]]:
    """The imports of the modules that both sides share."""
    return [(w, n) for w, n in imports(AGENT) if w.partition(":")[0] in {f"infra/agent/{name}.py" for name in WIRE}]


def test_the_core_and_the_wire_format_touch_nothing_of_the_world() -> None:
    wrong = [
        f"{where} imports {name}"
        for where, name in [*imports(AGENT / "core"), *wire_format()]
        if name not in CORE_MAY_IMPORT
        and not name.startswith("infra.agent.core")
        and name not in {f"infra.agent.{module}" for module in WIRE}
        and name.split(".")[0] not in CORE_MAY_IMPORT - {"infra", "urllib.parse"}
    ]
    assert wrong == []


def test_neither_the_core_nor_the_wire_format_knows_the_shell() -> None:
    both = [*imports(AGENT / "core"), *wire_format()]
    assert [f"{where} imports {name}" for where, name in both if "shell" in name] == []
    assert [f"{where} imports {name}" for where, name in wire_format() if "core" in name] == []


def test_the_core_opens_prints_and_reads_nothing() -> None:
    calls = []
    for path in sorted((AGENT / "core").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if isinstance(node, ast.Attribute):
                name = node.attr
            if name in ("open", "print", "input", "exec", "eval", "__import__", "uuid1", "uuid4"):
                calls.append(f"{path.relative_to(ROOT)}: {name}")
    assert calls == []
