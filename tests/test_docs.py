"""Documentation that cannot fall behind: every command and option is in docs/cli.md."""

import re
from pathlib import Path

from typer.main import get_command

from diffpose.cli import app

ROOT = Path(__file__).parents[1]


def commands_of(command, name="diffpose"):
    """Every command under its full name; a group's commands instead of the group."""
    below = getattr(command, "commands", None)
    if below is None:
        return {name: command}
    found: dict = {}
    for word, inner in below.items():
        found |= commands_of(inner, f"{name} {word}")
    return found


def test_every_command_and_option_is_documented():
    text = (ROOT / "docs" / "cli.md").read_text()
    commands = commands_of(get_command(app))

    assert {"diffpose infer", "diffpose review queue", "diffpose train pose"} <= set(commands)
    for name, command in commands.items():
        assert name in text, name
        assert command.help, name
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--help":
                    assert option in text, f"{name} {option}"


def test_every_command_that_the_documents_name_exists():
    commands = commands_of(get_command(app))
    known = {tuple(name.split()[1 : n + 1]) for name in commands for n in (1, 2)}
    pattern = re.compile(r"(?:^|`)diffpose ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", re.M)
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for group, word in pattern.findall(path.read_text()):
            assert (group,) in known, f"{path.name}: diffpose {group}"
            if word and f"diffpose {group}" not in commands:
                assert (group, word) in known, f"{path.name}: diffpose {group} {word}"


def test_the_readme_s_commands_start_the_app_and_the_tests():
    text = (ROOT / "README.md").read_text()

    assert "python app.py" in text
    assert "-m pytest" in text
    assert text.startswith("---\n")  # front matter of a Hugging Face Space
    assert "sdk: docker\napp_port: 7860\n" in text
    assert '"--port", "7860"' in (ROOT / "Dockerfile").read_text()
