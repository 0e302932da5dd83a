"""Long lines that are forwarded while they still come."""
