"""Event loops, and the threads for what would block them."""
