"""What the tests of the JavaScript consumers share: programs that drive them, and the packages that they need."""
