"""Takes an approved change back: keeps the images of its rows, and builds the inverse statement from them."""
