"""The only room that uses paramiko's private names (tests/support/paramiko_contract.py)."""
