"""`python -m tuiae.cli`: the same as `tuiae`."""

from tuiae.cli import main

main()
