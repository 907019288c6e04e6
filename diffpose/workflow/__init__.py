"""What the app and the command line both do with a project: the model meets the reviewer."""
