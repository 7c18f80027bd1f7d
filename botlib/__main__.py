"""``python -m botlib``: the same as the command ``botlib``."""

from botlib.cli import main

if __name__ == "__main__":
    main(prog_name="botlib")
