"""The score field of images, in the plane through three of them."""
