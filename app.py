import sys

from app.layout import build_app, launch
from app.settings import read_settings
from app.workspace import Workspace

if __name__ == "__main__":
    with Workspace(read_settings(sys.argv[1:])) as workspace:
        launch(build_app(workspace), workspace)
