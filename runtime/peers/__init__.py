"""Other runtimes that models are timed with, beside this one."""
