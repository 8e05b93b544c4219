"""What is wrong with the configuration, said at start with an id and a hint."""
