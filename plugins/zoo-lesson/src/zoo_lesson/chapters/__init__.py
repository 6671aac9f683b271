"""The ten chapters, in the order of the lecture."""

from zoo_lesson.chapter import Chapter
from zoo_lesson.chapters.amount import AMOUNT
from zoo_lesson.chapters.base_and_head import BASE_AND_HEAD
from zoo_lesson.chapters.cost import COST
from zoo_lesson.chapters.feature_maps import FEATURE_MAPS
from zoo_lesson.chapters.one_by_one import ONE_BY_ONE
from zoo_lesson.chapters.patches import PATCHES
from zoo_lesson.chapters.pretrained import PRETRAINED
from zoo_lesson.chapters.receptive_field import RECEPTIVE_FIELD
from zoo_lesson.chapters.residual import RESIDUAL
from zoo_lesson.chapters.strategies import STRATEGIES

CHAPTERS: tuple[Chapter, ...] = (
    BASE_AND_HEAD,
    FEATURE_MAPS,
    PATCHES,
    RECEPTIVE_FIELD,
    ONE_BY_ONE,
    RESIDUAL,
    STRATEGIES,
    AMOUNT,
    PRETRAINED,
    COST,
)
