"""Records that mean harm, servers that help them, and a program that loads them while it is watched."""
