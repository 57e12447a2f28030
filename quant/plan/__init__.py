"""What a quantization does to each tensor: the formats that fit, rules by tensor, a bit budget."""
