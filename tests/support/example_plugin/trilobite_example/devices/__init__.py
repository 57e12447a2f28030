"""Descriptions of devices, a .toml file each; a file's name is what ``--device`` takes."""
