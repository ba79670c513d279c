"""The look that page and figures share."""

# Lines and text of figures; the page replaces it by its own colour of text, light or dark.
INK = "#767676"
