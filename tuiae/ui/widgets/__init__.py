"""The panels: thin widgets that hold data and call `tuiae.render`."""
