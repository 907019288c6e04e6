"""What stands between the network and Gradio: who may come in, and with what."""
