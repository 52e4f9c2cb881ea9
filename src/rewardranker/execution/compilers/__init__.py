"""Compilers that stay: what makes a build cheap, and says the same as the compiler that is started anew."""
