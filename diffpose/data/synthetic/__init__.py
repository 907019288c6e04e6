"""Rendered humans with exact labels: avatars, motion, scenes, pictures, shards of them."""
