# Development commands; https://just.systems. CONTRIBUTING.md explains them.

# List the commands.
default:
    @just --list

# Make the virtual environment.
setup:
    python3 -m venv .venv
    .venv/bin/pip install -e ".[app,train,dev]"

# Format the code.
format:
    .venv/bin/ruff format .
    .venv/bin/ruff check --fix .

# Check formatting, style, types and import contracts, as CI does.
check:
    .venv/bin/ruff format --check .
    .venv/bin/ruff check .
    .venv/bin/mypy
    .venv/bin/lint-imports

# Run tests: all, or those given.
test *arguments:
    .venv/bin/python -m pytest {{ arguments }}

# Run the tests that need neither a browser, nor OpenGL, nor a wheel.
quick:
    .venv/bin/python -m pytest -m "not browser and not render and not wheel"

# Start the app.
app *arguments:
    .venv/bin/python app.py {{ arguments }}

# Build the wheel into dist/.
wheel:
    .venv/bin/python -m hatchling build -t wheel

# Build the image for CPUs and start the app in it.
docker:
    docker build -t diffpose .
    docker run --rm -p 127.0.0.1:7860:7860 diffpose

# Run all of CI, in a clean clone.
ci:
    .ci/run
