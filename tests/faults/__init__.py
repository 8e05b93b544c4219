"""What goes wrong between and inside of several server processes, and that no subscriber is left behind by it."""
