"""Training: objectives, the loop, checkpoints that survive a kill."""
