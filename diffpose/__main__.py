"""``python -m diffpose``: the console command, also for torchrun."""

from diffpose.cli import main

main()
