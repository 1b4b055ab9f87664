# What type checkers and editors see of the front door, whose names __init__.py loads when they are first used.

from . import checks as checks
from . import datasets as datasets
from . import encoders as encoders
from . import explorers as explorers
from . import films as films
from . import hosts as hosts
from . import measuring as measuring
from . import merging as merging
from . import network as network
from . import partition as partition
from . import plots as plots
from . import study as study
from . import teaching as teaching
from . import tome as tome
from . import training as training
from . import video as video
from .datasets.extraction import features as features
from .datasets.toy import toy_films as toy_films
from .encoders.frozen import load_encoder as load_encoder
from .merging.matching import match as match
from .merging.matching import match_plain as match_plain
from .merging.matching import nearest as nearest
from .merging.merge import Merge as Merge
from .merging.partition import region as region
from .merging.partition import sample as sample
from .merging.partition import top as top
from .merging.partition import uniform as uniform
from .merging.registry import reducer as reducer
from .merging.registry import reducers as reducers
from .merging.strategies import Context as Context
from .network.block import VTMBlock as VTMBlock
from .network.config import BlockConfig as BlockConfig
from .network.levels import merging_levels as merging_levels
from .network.model import VideoClassifier as VideoClassifier
from .network.model import count as count
from .network.streaming import Live as Live
from .network.streaming import by_chunks as by_chunks
from .paths import data_path as data_path
from .training.loop import Items as Items
from .training.loop import Recipe as Recipe
from .training.loop import evaluate as evaluate
from .training.loop import fit as fit
from .training.loop import split as split
from .video.containers import VideoError as VideoError
from .video.reading import Clip as Clip

# Only `name as name` is handed on by an import, so the one renamed function is written as what it is.
read_video = video.read

__version__: str
__all__: list[str]
