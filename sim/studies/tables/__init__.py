"""The tables of the studies: one module for each, whose ``tables`` yields them."""
