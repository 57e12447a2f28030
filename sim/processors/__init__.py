"""The cost model of a processor of a system on chip: CPU, GPU or NPU."""
