"""``python -m trilobite`` is the ``trilobite`` command."""

from .cli import main

if __name__ == "__main__":
    main()
