"""Text of others where people see it: control characters shown, secrets struck out, log records."""
