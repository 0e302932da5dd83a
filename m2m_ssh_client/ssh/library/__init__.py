"""paramiko, and the only place that uses its private names."""
