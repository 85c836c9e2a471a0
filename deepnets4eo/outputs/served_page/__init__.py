"""Interactive pages, served only to the browsers of this computer (`server`), and their shared files (`assets`)."""

from .sample_answers import Answers, Row
from .sample_page import SamplePage
from .server import PageServer
