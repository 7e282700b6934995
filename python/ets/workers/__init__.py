"""Workers: processes with engines of their own, on this host or others, behind one search."""
