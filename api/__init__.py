"""What a command or a notebook can do: functions that return results and print nothing.

Each module is one subject. The package ``trilobite`` gives their public names, imported when first
used; nothing here imports the command line.
"""
