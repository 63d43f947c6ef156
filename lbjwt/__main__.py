"""``python -m lbjwt``: the same as the command ``lbjwt``."""

from lbjwt.cli import main

if __name__ == "__main__":
    main(prog_name="lbjwt")
