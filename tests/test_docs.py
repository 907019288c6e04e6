"""Documentation that cannot fall behind: every command and option is in docs/cli.md."""

from pathlib import Path

from typer.main import get_command

from diffpose.cli import app

ROOT = Path(__file__).parents[1]


def test_every_command_and_option_is_documented():
    text = (ROOT / "docs" / "cli.md").read_text()
    program = get_command(app)
    commands = getattr(program, "commands", {})

    assert commands
    for name, command in commands.items():
        assert f"diffpose {name}" in text, name
        assert command.help, name
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--help":
                    assert option in text, f"{name} {option}"


def test_the_readme_s_commands_start_the_app_and_the_tests():
    text = (ROOT / "README.md").read_text()

    assert "python app.py" in text
    assert "-m pytest" in text
    assert text.startswith("---\n")  # front matter of a Hugging Face Space
    assert "app_file: app.py" in text
