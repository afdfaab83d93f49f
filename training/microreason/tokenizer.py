"""The tokenizer of MicroReason: a byte-level BPE with single digits and single signs, English and Chinese."""

from __future__ import annotations

from collections.abc import Iterator
from pydoc_data import topics
from random import Random

from tokenizers import Tokenizer

from training.common import tokenizer as common
from training.common.conversation import conversation
from training.nano import small_talk
from youtu_onnx.problems.problem import Problem

from .tasks import sample

VOCAB_SIZE = 6144
MAX_LENGTH = 2048
# A word with the space before it, one digit, one sign, white space: signs never join, so a step's notation
# is always the same tokens.
WORDS = r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]|\s*[\r\n]+|\s+(?!\S)|\s+"
LONGEST = 9  # bytes of a token: a word, or three Chinese characters

# The commonest characters of Chinese prose, so that what training never says is not spelled in bytes.
CHARACTERS = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同"
    "现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很"
    "最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走"
    "义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马"
    "科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运"
    "笔画颗枚块支张朵条盒袋篮包箱罐桌椅猫狗鱼鸟花草树木火土雨雪春夏秋冬早晚昨午夜周星期几红黄蓝绿黑白灰粉紫甜苦酸辣咸冷热温暖吃喝睡跑跳飞游唱歌燕松赵亮陈宁波刘洋琴峰柠檬珠蜡烛贝壳丝带纽扣桃磁铁"
)


def corpus(count: int, seed: int) -> Iterator[str]:
    """Conversations of the beginning and of the end of training, English prose, and what is rare in these but common."""
    rng = Random(seed)
    for number in range(count):

        def draw(draws: Random, language: str | None, progress: float = number % 2) -> Problem:
            return sample(draws, progress, language=language)

        talk = conversation(rng, draw)
        yield from common.pieces("".join(talk.turns) + talk.reply)
    for _ in range(count // 100):
        yield " ".join(" abcdefghijklmnopqrstuvwxyz")
        yield from CHARACTERS
    for _ in range(count // 500):
        for intents in small_talk.INTENTS.values():
            for phrases, reply in intents.values():
                yield from (*phrases, reply)
    yield from topics.topics.values()  # the documentation that comes with Python


def build(seed: int = 11, count: int = 20_000) -> Tokenizer:
    return common.build(corpus(count, seed), VOCAB_SIZE, WORDS, LONGEST)
