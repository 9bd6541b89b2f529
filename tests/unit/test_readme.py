"""What README.md and docs/ say is checked against the code: commands, paths, environment variables, YAML, exception codes."""

import ast
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest
import typer.main
import yaml

from meshline_dagster.cli import app
from meshline_dagster.orchestration.components import CrmToErpSyncModel
from meshline_dagster.orchestration.connect import feed_specs
from meshline_dagster.orchestration.settings import FileDropSource, SyncSettings

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
TOP = {path.name for path in ROOT.iterdir()} - {".git", ".venv", ".meshline"}
OTHERS = {"pip", "python", "dg", "sqlite3"}  # programs of others, which the pages may call
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"\b(?:MESHLINE|DAGSTER)_[A-Z_]+\b")
REASONS = ROOT / "dbt_project/models/intermediate/orders/int_reason_codes.sql"


def text(page):
    return (ROOT / page).read_text()


def blocks(page, *languages):
    return [body for language, body in FENCE.findall(text(page)) if language in languages]


def spans(page):
    return [one.replace("\n", " ") for one in re.findall(r"`([^`]+)`", FENCE.sub("", text(page)))]


def commands(page):
    """Every shell line of a block, and every inline call of meshline or make, in words."""
    lines = [line for body in blocks(page, "sh", "bash") for line in body.splitlines()]
    inline = [span for span in spans(page) if span.split()[0] in {"meshline", ".venv/bin/meshline", "make"}]
    for line in [*lines, *inline]:
        words = shlex.split(line, comments=True)
        if words:
            yield words


def problem(words):
    """Why a command cannot be typed as it stands; None when it can."""
    program = Path(words[0]).name
    if program == "make":
        targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
        wrong = [word for word in words[1:] if "=" not in word and word not in targets]
        wrong += [word for word in words[1:] if "=" in word and f"\n{word.split('=')[0]} ?=" not in text("Makefile")]
        return f"make knows no {wrong}" if wrong else None
    if program != "meshline":
        return None if program in OTHERS else f"{program} is no program that the pages may call"
    return _meshline_problem(words[1:])


def _meshline_problem(words):
    command = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        if words[0] not in command.commands:
            return f"there is no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    unknown = [word for word in words if word.startswith("-") and word not in known]
    return f"{command.name} has no option {unknown}" if unknown else None


@cache
def sources():
    """The text of everything that runs: no page, and no test."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    kept = [name for name in listed if name and not name.startswith(("tests/", "docs/")) and not name.endswith(".md")]
    return {name: (ROOT / name).read_text() for name in kept if (ROOT / name).is_file()}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_exists(page):
    assert [(" ".join(words), why) for words in commands(page) if (why := problem(words))] == []


def said_texts(name, body):
    """The texts that a source file may show to somebody; what is filled in later is an argument."""
    if not name.endswith(".py"):
        return [body]
    found = []
    for node in ast.walk(ast.parse(body)):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "ARGUMENT" for part in node.values]
            found.append("".join(str(part) for part in parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


def test_every_command_that_a_text_of_the_product_names_exists():
    named = {
        (name, span.replace("\n", " "))
        for name, body in sources().items()
        if name.endswith((".py", ".sql"))
        for text_shown in said_texts(name, body)
        for span in re.findall(r"`(meshline [^`]+)`", text_shown)
    }
    assert len(named) > 15
    wrong = [(name, span, why) for name, span in sorted(named) if (why := problem(shlex.split(span)))]
    assert wrong == []


def test_the_readme_names_commands_at_all():
    said = {" ".join(words[:2]) for words in commands("README.md")}
    assert {"make demo", "make test", "make up", "meshline status", "meshline pause"} <= said


@pytest.mark.parametrize("page", PAGES)
def test_every_path_exists(page):
    named = [span for span in spans(page) if "/" in span and span.split("/")[0] in TOP and " " not in span]
    assert [path for path in named if not (ROOT / path).exists()] == []
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text(page))
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_the_concept_map_names_every_package():
    packages = [path.parent.name for path in (ROOT / "meshline_dagster").glob("*/__init__.py")]
    assert [name for name in packages if f"`meshline_dagster/{name}/`" not in text("README.md")] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_environment_variable_is_read_somewhere(page):
    code = "\n".join(sources().values())
    assert [name for name in sorted(set(VARIABLE.findall(text(page)))) if not re.search(rf"\b{name}\b", code)] == []


def test_every_environment_variable_of_the_product_is_in_the_operations_page():
    product = [
        body
        for name, body in sources().items()
        if name.startswith("meshline_dagster/") and not name.startswith("meshline_dagster/testing/")
    ]
    read = set(re.findall(r"\bMESHLINE_[A-Z_]+\b", "\n".join(product)))
    assert sorted(read - set(VARIABLE.findall(text("docs/operations.md")))) == []


def declarations(page):
    return [content for body in blocks(page, "yaml") if "type" in (content := yaml.safe_load(body))]


@pytest.mark.parametrize("page", PAGES)
def test_every_yaml_block_is_a_sync_that_the_component_accepts(page):
    for content in declarations(page):
        assert content["type"] == "meshline_dagster.CrmToErpSync"
        assert set(content) == {"type", "attributes"}
        model = CrmToErpSyncModel.model_validate(content["attributes"])
        settings = SyncSettings(**{name: getattr(model, name) for name in SyncSettings.model_fields})
        assert feed_specs(settings)
        for source in settings.sources:
            if isinstance(source, FileDropSource):
                assert [one.layout() for one in source.objects.values()]


def test_the_readme_shows_tryton_and_each_kind_of_source():
    shown = [content["attributes"] for content in declarations("README.md")]
    assert {one["destination"]["type"] for one in shown} >= {"tryton", "rest"}
    assert {source["type"] for one in shown for source in one["sources"]} == {"salesforce", "hubspot", "file_drop"}


def codes():
    """The reasons of the rules, and every code that the Python source gives to a finding or a problem."""
    rules = set(re.findall(r"^    \('([a-z_]+)', \d+,", REASONS.read_text(), re.MULTILINE))
    product = "\n".join(body for name, body in sources().items() if name.startswith("meshline_dagster/"))
    raised = set(re.findall(r'\b(?:code|problem|OUTAGE|CHANGED|code, problem)(?:=| = )"([a-z_]+)"', product))
    assert len(rules) > 15
    assert len(raised) > 5
    return rules | raised


def test_every_exception_code_is_explained_and_no_other():
    explained = set(re.findall(r"^\| `([a-z_*]+)` \| [a-z-]", text("docs/operations.md"), re.MULTILINE))
    assert sorted(codes() - explained) == []
    assert sorted(explained - codes() - {"exists_with_different_*"}) == []
    assert "exists_with_different" in sources()["meshline_dagster/core/documents.py"]


def test_the_owner_of_each_reason_is_the_one_that_the_rules_name():
    owners = dict(
        re.findall(r"^    \('([a-z_]+)', \d+, '(?:hold|review|reject)', '([a-z]+)'", REASONS.read_text(), re.MULTILINE)
    )
    said = dict(re.findall(r"^\| `([a-z_]+)` \| ([a-z]+) \|", text("docs/operations.md"), re.MULTILINE))
    assert {code: said.get(code) for code in owners} == owners
