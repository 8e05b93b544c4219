"""What the product is measured beside, in the same run."""
