"""The page of one tree."""
