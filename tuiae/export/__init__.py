"""What leaves the laboratory: figures and pages that need no tuiae to be read."""
