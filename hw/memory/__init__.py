"""External memory: AXI4 words and bursts, read and write masters, and who shares a port."""
