import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_host_installs_the_package_with_what_the_app_and_its_exports_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements.txt").read_text().splitlines()

    (line,) = [line for line in lines if not line.startswith("#")]

    assert line == "-e .[app,export,report]"
    assert {"app", "export", "report"} <= set(project["optional-dependencies"])


def test_app_py_only_starts_the_app() -> None:
    lines = (ROOT / "app.py").read_text().splitlines()

    assert len(lines) <= 10
