"""``python -m kdmarl_core.cli`` is the same as ``kdmarl``."""

from kdmarl_core.cli import main

main()
