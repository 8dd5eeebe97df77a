"""Run the command `bitpick` as `python -m bitpick`."""

from bitpick.cli import main

main()
