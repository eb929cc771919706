"""The plain HTTP door: health now, the page and the streams later. Thin."""
