"""Pure functions of arrays: the numbers that results quote."""
