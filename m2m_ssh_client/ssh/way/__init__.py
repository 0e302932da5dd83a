"""How to reach the machine."""
