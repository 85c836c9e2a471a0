"""Pages on which a person works, served to the browsers of this computer alone (`server`), and what all of them share (`assets`)."""
