"""What models forecast when a variable is held, and whether it comes true."""
