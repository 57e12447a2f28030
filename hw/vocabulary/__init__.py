"""The two ends of a model: embedding and LM head, and how both lie in memory."""
