"""`python -m tuiae`: the same as `tuiae`."""

from tuiae.cli import main

main()
