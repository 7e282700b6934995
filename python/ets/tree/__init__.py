"""What a search has grown: columns of nodes, trajectories, events, seeds."""
