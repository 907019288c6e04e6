import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_host_installs_what_the_package_the_app_and_its_exports_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    extras = project["optional-dependencies"]

    wanted = {line for line in lines if line and not line.startswith("#")}

    assert wanted == {
        *project["dependencies"],
        *extras["app"],
        *extras["export"],
        *extras["report"],
    }


def test_app_py_only_starts_the_app() -> None:
    lines = (ROOT / "app.py").read_text().splitlines()

    assert len(lines) <= 10
