"""The Gradio app: presentation only; what it does is done by `diffpose`."""
