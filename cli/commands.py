"""All commands: importing a module registers its command, in the order in which --help has them."""

from . import quantize  # isort: skip
from . import export  # isort: skip
from . import generate  # isort: skip
from . import chat  # isort: skip
from . import serve  # isort: skip
from . import bench  # isort: skip
from . import evaluate  # isort: skip
from . import calibrate_kv  # isort: skip
from . import inspect  # isort: skip
from . import verify  # isort: skip
from . import synth  # isort: skip
from . import build  # isort: skip
from . import image  # isort: skip
from . import run  # isort: skip
from . import self_test  # isort: skip
from . import estimate  # isort: skip
from . import calibrate  # isort: skip
from . import serve_sim  # isort: skip
from . import explore  # isort: skip
from . import devices  # isort: skip
from . import study  # isort: skip
from .app import app

__all__ = ["app", "bench", "build", "calibrate", "calibrate_kv", "chat", "devices", "estimate",
           "evaluate", "explore", "export", "generate", "image", "inspect", "quantize", "run",
           "self_test", "serve", "serve_sim", "study", "synth", "verify"]
