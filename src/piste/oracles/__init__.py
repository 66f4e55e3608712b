"""Where the slope comes from."""
