"""Takes an approved change back: row images and the inverse statement."""
