"""`python -m bitpick` is the command `bitpick`."""

from bitpick.cli import main

main()
