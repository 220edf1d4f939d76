"""The same teaching through numpy and through the C library: random courses, every answer and every byte compared."""
