"""Amaranth building blocks: streams and the table-lookup matmul."""
