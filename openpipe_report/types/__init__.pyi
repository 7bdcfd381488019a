# Written by scripts/make_signatures.py
from openai.types import *

from . import chat as chat
from . import graders as graders
from . import responses as responses
from . import shared as shared
from . import shared_params as shared_params
