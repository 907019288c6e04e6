"""The review desk: corrections as events, the project file, the queue; no torch, no Gradio."""
