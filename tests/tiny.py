"""The shipped preset made so small that a test may run it."""

from dataclasses import replace

from diffpose.model.config import preset

TINY = replace(
    preset("small"), name="tiny", crop_size=(64, 64), radius=1, width=32, strl_layers=1,
    decoder_widths=(32, 16, 16), correlation_layers=1, heads=2,
)  # fmt: skip
