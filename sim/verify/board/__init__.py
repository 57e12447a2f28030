"""A simulated board: the very RTL of the accelerator under Verilator, for the host program."""
