"""What a process of a pool holds while it lives."""
