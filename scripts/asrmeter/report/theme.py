"""The look that page and figures share."""

# Lines and text of figures; the page replaces it by its own colour of text, light or dark.
INK = "#767676"
# What a figure brings forward; the page replaces it by its own accent.
ACCENT = "#0064a0"
