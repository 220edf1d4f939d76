"""What a shot and an answer cost as a head grows: heads of any size, curves, fitted exponents, a million shots."""
