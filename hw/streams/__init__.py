"""What streams share: queues, forks, credits, ports."""
