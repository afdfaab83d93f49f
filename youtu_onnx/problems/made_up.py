"""Names of people and things that nobody has: who learns with them learns to read a story whoever it is about."""

from __future__ import annotations

from random import Random

ONSETS = "b br c ch cl d dr f fl g gr h j k l m n p pl qu r s sh sp st t th tr v w z"
VOWELS = "a a a e e i i o o u ai ea ee oa oo"
CODAS = "n n l r r s m t ck nd ng nt rk st x"
OPEN = 0.5  # share of syllables without a coda

SURNAMES = (
    "赵钱孙李周吴郑王冯陈卫蒋沈韩杨朱秦许何吕张孔曹严金魏陶姜谢苏潘范彭鲁马方袁柳史唐薛雷贺汤罗郝安常傅齐康顾孟黄萧尹姚汪毛"
)
GIVEN = (
    "安邦博昌晨成诚春达德冬凡芬福刚光国海航浩和恒宏欢辉嘉健江娇金锦京晶俊凯康可坤岚乐莉良林玲龙美萌铭宁培鹏琪"
    "青秋泉然仁荣瑞珊胜诗思松素涛田婷桐薇维文希翔欣新秀旭学艳怡依艺银颖永友玉元远月悦泽珍正志智忠子"
)
MEASURE_WORDS = "个只块张条颗支把件袋瓶枚朵片"
MATTERS = "木铁铜金银玉石竹布纸皮毛红黄蓝绿黑白大小新老长短圆方花草水火风沙"
FORMS = "球瓶帽鞋刀针线绳板椅灯伞鼓笛琴车船瓜豆菜桶碗勺环珠扣箱钟锁镜壶棒带巾"


def word(rng: Random, syllables: int) -> str:
    def syllable() -> str:
        parts = (ONSETS, VOWELS) if rng.random() < OPEN else (ONSETS, VOWELS, CODAS)
        return "".join(rng.choice(part.split()) for part in parts)

    return "".join(syllable() for _ in range(syllables))


def person(rng: Random, language: str) -> str:
    if language == "en":
        return word(rng, rng.choice((1, 2, 2))).capitalize()
    given = "".join(rng.sample(GIVEN, rng.choice((1, 1, 2))))
    return rng.choice(("小", "阿", *[rng.choice(SURNAMES)] * 3)) + given


def thing(rng: Random, language: str) -> str:
    """A plural; in Chinese with its measure word, which is its first character."""
    if language == "en":
        return word(rng, rng.choice((1, 2))) + "s"
    return rng.choice(MEASURE_WORDS) + rng.choice(MATTERS) + rng.choice(FORMS)
