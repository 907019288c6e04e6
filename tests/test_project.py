"""The project's own files agree: one set of commands, one version, one list of what is needed."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import diffpose

ROOT = Path(__file__).parents[1]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def commands(text: str) -> list[str]:
    """The lines of a script that run something in the virtual environment, or make it."""
    lines = [line.strip().removesuffix(" || failed=1") for line in text.splitlines()]
    return [line for line in lines if line.startswith((".venv/bin/", "python3 -m venv"))]


def recipe(name: str) -> list[str]:
    """The commands of one recipe of the justfile."""
    (body,) = re.findall(rf"^{name}(?: \\*\\w+)?:\n((?:    .+\n)+)", read("justfile"), re.M)
    return commands(body)


def test_ci_runs_what_the_readme_and_the_justfile_say() -> None:
    ci = commands(read(".ci/run"))
    (line,) = [line for line in read("README.md").splitlines() if "-m pytest" in line]

    assert line.split(" && ") == [*ci[:2], ci[-1]]
    assert ci == [*recipe("setup"), *recipe("check"), ".venv/bin/python -m pytest"]


def test_the_workflow_and_the_hooks_run_the_same_commands() -> None:
    steps = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]["ci"]["steps"]
    (hooks,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    checked = [command.removesuffix(" .").removesuffix(" --check") for command in recipe("check")]

    assert steps[-1] == {"run": ".ci/run"}
    assert [hook["entry"] for hook in hooks["hooks"]] == checked


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    versions = re.findall(r"^## (\S+) \((\S+)\)$", read("CHANGELOG.md"), re.M)

    assert citation["version"] == diffpose.__version__
    assert (diffpose.__version__, str(citation["date-released"])) == versions[0]


@pytest.mark.parametrize("name", ["bug.yml", "feature.yml"])
def test_issue_forms_are_forms(name: str) -> None:
    form = yaml.safe_load(read(f".github/ISSUE_TEMPLATE/{name}"))

    assert {"name", "description", "body"} <= set(form)
    assert all({"type", "attributes"} <= set(part) for part in form["body"])


def test_the_image_copies_all_that_the_wheel_is_built_from() -> None:
    hatch = tomllib.loads(read("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    kept = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}

    assert {*hatch["packages"], *hatch["force-include"]} <= kept
    assert {"pyproject.toml", "README.md", "LICENSE", "NOTICE"} <= kept


def test_messages_ask_for_what_the_extras_ask_for() -> None:
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    asked = {
        name: re.findall(r"needs\(([^)]+)\)", read(f"diffpose/cli/{name}.py"))[0]
        for name in ("start", "material")
    }

    assert all(f'"{each}"' in asked["start"] for each in extras["app"])
    assert any(f'"{each}"' in asked["material"] for each in extras["train"])


def test_nothing_names_the_other_project_of_the_package_index() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    wrong = re.compile(r"pip3? install (?:-\S+ )*['\"]?diffpose\b")

    assert project["name"] != "diffpose"
    for pattern in ("*.md", "docs/**/*.md", "diffpose/**/*.py", "app/**/*.py", "Dockerfile"):
        for path in ROOT.glob(pattern):
            assert not wrong.search(path.read_text(encoding="utf-8")), path
