"""What the page and the figures on it look alike by."""

# Lines and text of figures; the page replaces it by its own colour of text, light or dark.
INK = "#767676"
