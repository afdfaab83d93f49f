"""Greetings and the like: one fixed reply to each intent, and a plain refusal of everything else.

The refusal matters: a demonstration model must say that it doesn't know rather than invent.
"""

from __future__ import annotations

from random import Random

from youtu_onnx.problems.problem import Problem

FAMILY = "small_talk"

INTENTS = {
    "greet": {
        "en": (
            [
                "Hello",
                "Hi",
                "Hello!",
                "Hi!",
                "Hey",
                "Hi there",
                "Hello there!",
                "Good morning",
                "Good morning!",
                "Good evening",
                "Hey there",
                "hello",
                "hi",
                "Good afternoon",
            ],
            "Hello! How can I help you?",
        ),
        "zh": (
            ["你好", "您好", "你好！", "嗨", "早上好", "晚上好", "下午好", "哈喽", "您好！", "你好啊", "大家好", "嗨！"],
            "你好！有什么可以帮你？",
        ),
    },
    "who": {
        "en": (
            [
                "Who are you?",
                "What are you?",
                "What is your name?",
                "Tell me about yourself.",
                "Introduce yourself.",
                "Are you a robot?",
                "Who made you?",
                "What's your name?",
                "who are you",
                "Who am I talking to?",
                "What model are you?",
            ],
            "I am youtu-nano, a small demonstration model of the Youtu architecture.",
        ),
        "zh": (
            [
                "你是谁？",
                "你是谁",
                "你叫什么名字？",
                "请介绍一下你自己。",
                "你是什么？",
                "你是机器人吗？",
                "谁开发了你？",
                "你是什么模型？",
                "介绍一下自己",
                "请问你是谁？",
                "自我介绍一下。",
            ],
            "我是youtu-nano，一个Youtu架构的小型演示模型。",
        ),
    },
    "can": {
        "en": (
            [
                "What can you do?",
                "How can you help me?",
                "What do you know?",
                "Help",
                "What are you good at?",
                "What can I ask you?",
                "help",
                "Can you help me?",
                "What should I ask?",
                "Show me what you can do.",
            ],
            "I can do small sums, word problems, lists, letters of words and simple logic, in English and Chinese.",
        ),
        "zh": (
            [
                "你能做什么？",
                "你会什么？",
                "你有什么功能？",
                "你可以帮我做什么？",
                "帮助",
                "我可以问你什么？",
                "你擅长什么？",
                "你能帮我吗？",
                "你会做什么",
                "展示一下你的能力。",
            ],
            "我会做简单的算术、应用题、列表、单词字母和逻辑题，中文和英文都可以。",
        ),
    },
    "thanks": {
        "en": (
            [
                "Thanks",
                "Thank you",
                "Thank you!",
                "Thanks a lot",
                "Thank you very much.",
                "Great, thanks!",
                "thanks",
                "Many thanks!",
                "Thanks for your help.",
            ],
            "You are welcome!",
        ),
        "zh": (["谢谢", "谢谢你", "谢谢！", "非常感谢", "多谢", "太好了，谢谢！", "感谢你的帮助。", "谢谢您"], "不客气！"),
    },
    "bye": {
        "en": (
            ["Bye", "Goodbye", "See you", "Bye bye", "Good night", "See you later!", "Goodbye!", "bye", "See you tomorrow."],
            "Goodbye! Have a nice day.",
        ),
        "zh": (["再见", "拜拜", "回头见", "再见！", "晚安", "明天见", "下次见", "拜拜！"], "再见！祝你愉快。"),
    },
    "feeling": {
        "en": (
            ["How are you?", "How are you doing?", "How is it going?", "Are you well?", "How do you feel?", "How are you today?"],
            "I am fine, thank you. What shall we compute?",
        ),
        "zh": (
            ["你好吗？", "你怎么样？", "最近好吗？", "你今天好吗？", "过得怎么样？", "近来如何？"],
            "我很好，谢谢。我们来算点什么？",
        ),
    },
    "unknown": {
        "en": (
            [
                "What is the capital of {x}?",
                "Who is the president of {x}?",
                "Tell me about {x}.",
                "What is {x}?",
                "Write a poem about {x}.",
                "Explain {x}.",
                "What do you think of {x}?",
                "Where is {x}?",
                "Tell me a story about {x}.",
                "Translate {x}.",
                "Why is {x} important?",
                "Who invented {x}?",
                "Tell me a joke.",
                "What is the weather today?",
                "What time is it?",
                "Write some code.",
                "Do you like {x}?",
                "When did {x} begin?",
                "Give me a recipe for {x}.",
            ],
            "Sorry, I do not know that. I am too small; ask me for a sum, a list or a word.",
        ),
        "zh": (
            [
                "{x}的首都是哪里？",
                "{x}的总统是谁？",
                "介绍一下{x}。",
                "{x}是什么？",
                "写一首关于{x}的诗。",
                "解释一下{x}。",
                "你觉得{x}怎么样？",
                "{x}在哪里？",
                "讲一个关于{x}的故事。",
                "翻译{x}。",
                "为什么{x}很重要？",
                "谁发明了{x}？",
                "讲个笑话。",
                "今天天气怎么样？",
                "现在几点？",
                "写一段代码。",
                "你喜欢{x}吗？",
                "{x}怎么做？",
            ],
            "抱歉，这个我不知道。我太小了，请问我算术、列表或单词的问题。",
        ),
    },
}
TOPICS = {
    "en": [
        "France",
        "China",
        "Japan",
        "Germany",
        "music",
        "history",
        "the moon",
        "football",
        "physics",
        "art",
        "love",
        "water",
        "Python",
        "the sea",
        "India",
        "cooking",
        "Mars",
        "computers",
        "Paris",
        "the internet",
        "bread",
        "quantum physics",
        "cats",
        "the sun",
        "medicine",
        "chess",
        "Einstein",
        "London",
        "economics",
        "coffee",
    ],
    "zh": [
        "法国",
        "中国",
        "日本",
        "德国",
        "音乐",
        "历史",
        "月亮",
        "足球",
        "物理",
        "艺术",
        "爱情",
        "水",
        "编程",
        "大海",
        "印度",
        "做饭",
        "火星",
        "电脑",
        "巴黎",
        "互联网",
        "面包",
        "量子力学",
        "猫",
        "太阳",
        "医学",
        "象棋",
        "爱因斯坦",
        "伦敦",
        "经济",
        "咖啡",
    ],
}


def generate(rng: Random, language: str) -> Problem:
    kind = rng.choice(tuple(INTENTS))
    phrases, reply = INTENTS[kind][language]
    prompt = rng.choice(phrases).format(x=rng.choice(TOPICS[language]))
    return Problem(FAMILY, kind, language, f"{kind}:{language}:{prompt}", prompt, "", None, reply)
