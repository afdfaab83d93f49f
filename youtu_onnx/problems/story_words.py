"""The sentences of word problems, in both languages, and who and what they are about."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from youtu_onnx.problems import made_up

Cast = Mapping[str, Mapping[str, list[str]]]

PEOPLE = """
    Tom Amy Ben Lucy Sam Anna Jack Mary Leo Kate Emma Noah Olivia Liam Mia Paul Sara David Nina Peter Ada Alan Alice Bob
    Carol Chris Diana Ella Eric Frank Grace Helen Ian Ivan Jane Jim John Judy Karl Kim Laura Lily Luke Mark Max Mike
    Nora Omar Pia Rosa Roy Sue Tim Toby Uma Vera Will Yan Zoe Zack
"""
THINGS = """
    apples books pens coins stamps cards eggs balls cakes stones oranges pencils toys stickers flowers pears plums cups
    hats keys maps leaves nuts beads plates spoons shirts photos
"""
# With their measure words.
CHINESE_THINGS = """
    个苹果 本书 支笔 枚硬币 张邮票 张卡片 个鸡蛋 个球 块蛋糕 颗石头 个橙子 支铅笔 个玩具 张贴纸 朵花 个梨 个杯子 顶帽子
    把钥匙 张地图 片叶子 颗糖 个盘子 把勺子 件衬衫 张照片
"""
OTHER_PEOPLE = "Hannah Oscar Ruth Felix Clara Victor Irene Simon Julia Henry"
OTHER_THINGS = "lemons marbles candles shells ribbons buttons peaches magnets"
OTHER_CHINESE_PEOPLE = "小飞 小燕 小松 赵亮 陈静 小宁 小波 刘洋 小琴 小峰"
OTHER_CHINESE_THINGS = "个柠檬 颗珠子 支蜡烛 个贝壳 条丝带 颗纽扣 个桃子 块磁铁"

# So many names that none of them matters.
CHINESE_PEOPLE = ["小" + c for c in "明红刚丽华强芳军兰龙雨杰美东林雪天玲梅辉娟磊涛洁霞超伟英平阳云亮文静慧敏洋"]
CHINESE_PEOPLE += [surname + c for surname in "王李张周吴孙" for c in "明华伟芳丽军强"]
NAMES: Cast = {
    "en": {"people": PEOPLE.split(), "things": THINGS.split(), "boxes": ["boxes", "bags", "baskets", "packs", "sacks", "tins"]},
    "zh": {"people": CHINESE_PEOPLE, "things": CHINESE_THINGS.split(), "boxes": list("盒袋篮包筐捆")},
}
OTHER_NAMES: Cast = {
    "en": {"people": OTHER_PEOPLE.split(), "things": OTHER_THINGS.split(), "boxes": ["crates", "jars"]},
    "zh": {"people": OTHER_CHINESE_PEOPLE.split(), "things": OTHER_CHINESE_THINGS.split(), "boxes": list("箱罐")},
}

MADE_UP = 0.4  # share of the people, and of the things, that are nobody's and nothing's


def invented(rng: Random, language: str, what: str) -> str:
    """A person or a thing that is made up, and not by chance one of those that training never names."""
    make = made_up.person if what == "people" else made_up.thing
    return next(name for name in iter(lambda: make(rng, language), "") if name not in OTHER_NAMES[language][what])


def people(rng: Random, language: str, count: int, cast: Cast = NAMES) -> list[str]:
    """So many different people of the cast; where it is training's, some of them made up."""
    drawn = rng.sample(cast[language]["people"], count)
    if cast is not NAMES or rng.random() >= MADE_UP:
        return drawn
    while True:
        drawn = [invented(rng, language, "people") for _ in drawn]
        if len(set(drawn)) == count:
            return drawn


SENTENCES: Mapping[str, Mapping[str, list[str]]] = {
    "en": {
        "has": ["{n} has {a} {t}.", "{n} had {a} {t} at first.", "At home {n} has {a} {t}."],
        "gain": ["{n} buys {b} more.", "{m} gives {n} {b} more.", "Then {n} finds {b} {t}.", "{n} gets another {b} {t}."],
        "lose": ["{n} gives {b} to {m}.", "{n} loses {b} of them.", "Then {n} sells {b} {t}.", "{b} {t} are used up."],
        "groups": ["{n} buys {b} {x} with {c} {t} each.", "{m} brings {b} {x} of {c} {t} each for {n}."],
        "left": [
            "How many {t} does {n} have now?",
            "How many {t} are there in the end?",
            "How many {t} does {n} have in the end?",
        ],
        "buy": ["{n} buys {b} {t} for {c} dollars each.", "One of the {t} costs {c} dollars. {n} buys {b} {t}."],
        "buy_one": ["{n} also buys a bag for {d} dollars.", "A hat for {d} dollars is bought as well."],
        "buy_other": ["{n} takes {b} tickets for {c} dollars each too."],
        "pay": ["{n} pays with {e} dollars.", "{n} hands over {e} dollars."],
        "change": ["How much change does {n} get?", "How many dollars does {n} get back?"],
        "cost": ["How much does {n} pay?", "How many dollars is that altogether?"],
        "drive": ["A car drives {a} km an hour for {b} hours.", "{n} rides for {b} hours at {a} km an hour."],
        "drive_on": ["Then it goes on for {b} hours at {a} km an hour.", "After that come {b} hours at {a} km an hour."],
        "how_far": ["How many km is that?", "How far is the whole way in km?"],
        "times": ["{m} has {b} times as many.", "{m} has {b} times as many {t} as {n}."],
        "more": ["{m} has {b} more than {n}.", "{m} has {b} {t} more."],
        "fewer": ["{m} has {b} fewer than {n}.", "{m} has {b} {t} fewer."],
        "third": ["Another {c} {t} lie on the table.", "A friend brings {c} {t}."],
        "other": ["How many {t} does {m} have?"],
        "together": ["How many {t} are there together?", "How many {t} is that in all?"],
        "divide": ["They are shared equally among {b} children.", "{n} divides them equally among {b} friends."],
        "each": ["How many {t} does each get?", "How many {t} are there for each?"],
        "friend_has": ["One of them already had {c} {t}."],
        "friend_now": ["How many {t} does that one have now?"],
    },
    "zh": {
        "has": ["{n}有{a}{t}。", "{n}原来有{a}{t}。", "{n}家里有{a}{t}。"],
        "gain": ["{n}又买了{b}{t}。", "{m}又给了{n}{b}{t}。", "后来{n}又得到{b}{t}。"],
        "lose": ["{n}给了{m}{b}{t}。", "{n}丢了{b}{t}。", "后来{n}卖掉{b}{t}。", "用掉了{b}{t}。"],
        "groups": ["{n}又买了{b}{x}，每{x}有{c}{t}。", "{m}给{n}带来{b}{x}，每{x}{c}{t}。"],
        "left": ["{n}现在有多少{t}？", "最后一共有多少{t}？", "{n}最后有几{t}？"],
        "buy": ["{n}买了{b}{t}，每一{t1}{c}元。", "一{t}{c}元，{n}买了{b}{t}。"],
        "buy_one": ["{n}还买了一个{d}元的书包。", "另外又买了一顶{d}元的帽子。"],
        "buy_other": ["{n}又买了{b}张票，每张{c}元。"],
        "pay": ["{n}付了{e}元。", "{n}给了售货员{e}元。"],
        "change": ["应该找回多少元？", "{n}能找回几元？"],
        "cost": ["{n}一共要付多少元？", "一共花了多少元？"],
        "drive": ["一辆汽车每小时行{a}千米，行了{b}小时。", "{n}骑车{b}小时，每小时{a}千米。"],
        "drive_on": ["接着又以每小时{a}千米走了{b}小时。", "然后再走{b}小时，每小时{a}千米。"],
        "how_far": ["一共走了多少千米？", "全程是多少千米？"],
        "times": ["{m}的是{n}的{b}倍。", "{m}的数量是{n}的{b}倍。"],
        "more": ["{m}比{n}多{b}{t}。", "{m}比{n}多{b}{t1}。"],
        "fewer": ["{m}比{n}少{b}{t}。", "{m}比{n}少{b}{t1}。"],
        "third": ["桌上还有{c}{t}。", "朋友又带来{c}{t}。"],
        "other": ["{m}有多少{t}？"],
        "together": ["一共有多少{t}？", "合起来有多少{t}？"],
        "divide": ["把它们平均分给{b}个小朋友。", "{n}把它们平均分给{b}个朋友。"],
        "each": ["每人分到多少{t}？", "每个人有几{t}？"],
        "friend_has": ["其中一个朋友原来有{c}{t}。"],
        "friend_now": ["这个朋友现在有多少{t}？"],
    },
}


class Teller:
    """Collects the sentences of one story about the same two people and the same things."""

    def __init__(self, rng: Random, language: str, cast: Cast):
        self.rng, self.language = rng, language
        self.n, self.m = people(rng, language, 2, cast)
        self.thing, self.box = rng.choice(cast[language]["things"]), rng.choice(cast[language]["boxes"])
        if cast is NAMES and rng.random() < MADE_UP:
            self.thing = invented(rng, language, "things")
        self.sentences: list[str] = []

    def tell(self, what: str, **numbers: int) -> None:
        sentence = self.rng.choice(SENTENCES[self.language][what])
        # t1 is the measure word alone: 个 of 个苹果.
        self.sentences.append(sentence.format(n=self.n, m=self.m, t=self.thing, t1=self.thing[0], x=self.box, **numbers))

    def text(self) -> str:
        return (" " if self.language == "en" else "").join(self.sentences)
