"""The ``trilobite`` command, also as ``python -m trilobite``."""

import sys


def main() -> None:
    """Run the command line, importing nothing from the current folder.

    Ctrl-C while it is still being imported ends it as it does later.
    """
    # Imported one after the other: before the second the current folder must be off the path.
    try:
        from .tools.environment import leave_current_folder_out  # noqa: PLC0415

        leave_current_folder_out()
        from .cli import main as run  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]   # `python -m` puts the current folder there
    main()
