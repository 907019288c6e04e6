"""``python -m diffpose.cli``: the console command, for torchrun."""

from diffpose.cli import main

main()
