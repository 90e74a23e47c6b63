"""Rules that every file keeps: layers, sizes, documents, sources, names."""

import ast
import importlib
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

import keyhole
from keyhole.cli.main import main
from keyhole.evidence import sources

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "src").rglob("*.py"))
PACKAGES = [
    "casefile",
    "evidence",
    "geometry",
    "terms",
    "imaging",
    "anatomy",
    "assessment",
    "plan",
    "forecast",
    "report",
]


def _functions(path):
    return [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def _code_lines(function):
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and len(body) > 1:
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1


def test_data_flows_one_way():
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_functions_and_modules_stay_small(path):
    assert len(path.read_text().splitlines()) <= 500
    long = [f"{f.name} {_code_lines(f)}" for f in _functions(path) if _code_lines(f) > 50]
    assert not long


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_exports_what_it_names_and_nothing_else(name):
    package = importlib.import_module(f"keyhole.{name}")
    assert package.__doc__
    assert len(set(package.__all__)) == len(package.__all__)
    submodules = {m.name for m in pkgutil.iter_modules(package.__path__)}
    public = {n for n in vars(package) if not n.startswith("_")} - submodules - {"annotations"}
    assert public <= set(package.__all__)
    assert all(hasattr(package, n) for n in package.__all__)


def test_no_module_has_an_import_cycle_with_its_package_or_prints():
    for path in FILES:
        if "cli" in path.parts:
            continue
        calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"], path


def test_every_source_has_a_text_and_an_address_or_says_it_is_ours():
    for key, source in sources().items():
        assert source.text, key
        assert source.kind in {"paper", "standard", "method", "choice"}, key
        assert source.address or source.kind in {"method", "choice"}, key


def test_every_source_key_in_code_and_tables_exists():
    known = sources()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "source" and isinstance(node.value, ast.Constant):
                value = node.value.value
                assert not isinstance(value, str) or " " in value or value in known, f"{path}: {value}"
    for path in (ROOT / "src").rglob("*.toml"):
        if path.name != "sources.toml":
            missing = [s for s in _values(tomllib.loads(path.read_text()), "source") if s not in known]
            assert not missing, f"{path}: {missing}"


def _values(table, name):
    if isinstance(table, dict):
        for key, value in table.items():
            if key == name and isinstance(value, str):
                yield value
            else:
                yield from _values(value, name)
    elif isinstance(table, list):
        for item in table:
            yield from _values(item, name)


def test_every_command_has_help_for_itself_and_each_option_and_is_in_the_documents():
    documents = (ROOT / "README.md").read_text() + "".join(p.read_text() for p in (ROOT / "docs").glob("*.md"))
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert command.help, name
        assert f"keyhole {name}" in documents, name
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help or isinstance(option.type, click.Choice), f"{name} {option.name}"


def test_no_tracked_text_names_a_registry_or_a_machine():
    named = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    words = ["pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "/ro" + "ot/", "/wo" + "rk/"]
    for name in named:
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".toml", ".txt", ".js", ".typ", ".html", ".css", ".json", ""}
            and path.is_file()
        ):
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert not [w for w in words if w in text], name


def test_constraints_hold_names_and_numbers_only():
    lines = [x for x in (ROOT / "constraints.txt").read_text().splitlines() if x and not x.startswith("#")]
    assert lines
    assert all("==" in line and "/" not in line and "@" not in line for line in lines)


def test_the_version_is_said_once():
    assert "version" not in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert keyhole.__version__.count(".") == 2


def test_every_test_file_has_a_name_of_its_own():
    """Two of one name cannot be collected together, though each passes alone."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
