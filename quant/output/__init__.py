"""What is written: outputs that are complete or not there, safetensors files, the manifest."""
