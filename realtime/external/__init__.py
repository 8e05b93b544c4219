"""What is heard from publishers elsewhere, and the environments that only they know."""
