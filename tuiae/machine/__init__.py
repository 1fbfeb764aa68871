"""What the machine does at this moment: cores, memory, graphics cards and who holds them."""
