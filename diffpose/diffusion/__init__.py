"""Diffusion over heatmaps: schedules, the sampler, the ensemble. Knows callables, not networks."""
